/** `check-config`: would `run` start with this configuration? */

import { loadOperatorFiles } from '../config/operator-files.ts'
import { requireHandover } from '../config/require-handover.ts'
import type { Config } from '../config/schema.ts'
import { listProblems } from '../config/server-lists.ts'
import { type ExitCode, misconfigured } from './outcome.ts'
import { type CommandContext, type ConfigOption, withConfig } from './with-config.ts'

export function checkConfig(context: CommandContext, option: ConfigOption): Promise<ExitCode> {
  return withConfig(context, option, async (config, line, warnings) => {
    const { output } = context
    const files = await loadOperatorFiles(config)
    const problems = [...requireHandover(config), ...(files.ok ? [] : files.problems)]
    if (!files.ok || problems.length > 0) return misconfigured(output, problems.map(line))
    for (const warning of [...warnings, ...files.value.warnings, ...listProblems(config).map(line)])
      output.err(`warning: ${warning}`)
    output.out(`The configuration is valid, for ${config.server_name}.`)
    for (const [what, where] of summary(config)) output.out(`  ${what} ${where}`)
    return 0
  })
}

function summary({ listen, admin, store }: Config): readonly (readonly [string, string])[] {
  const scheme = listen.tls === undefined ? 'http' : 'https'
  return [
    [
      'federation',
      listen.fd === undefined ? `${scheme}://${listen.host}:${listen.port}` : `${scheme} on fd ${listen.fd}`,
    ],
    ['admin     ', `http://${admin.host}:${admin.port}`],
    ['rooms     ', store.kind === 'sqlite' ? store.path : 'in PostgreSQL'],
  ]
}
