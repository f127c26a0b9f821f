/** `doctor`: what works and what does not, with the line to change. */
import { loadOperatorFiles } from '../config/operator-files.ts'
import type { Checked } from '../doctor/check.ts'
import { type ExitCode, misconfigured, outJson } from './outcome.ts'
import { type CommandContext, type ConfigOption, withStore } from './with-config.ts'

export interface DoctorOptions extends ConfigOption {
  readonly publicUrl?: string
  readonly json?: boolean
}

/** @returns 1 where anything failed */
export function doctor(context: CommandContext, options: DoctorOptions): Promise<ExitCode> {
  const { output, clock } = context
  if (options.publicUrl !== undefined && !isBase(options.publicUrl)) {
    output.err(`--public-url ${JSON.stringify(options.publicUrl)}: expected http(s)://HOST[:PORT] without a path`)
    return Promise.resolve(2)
  }
  return withStore(context, options, async (store, config, line, warnings) => {
    const files = await loadOperatorFiles(config)
    if (!files.ok) return misconfigured(output, files.problems.map(line))
    // What the checks need takes a while to load.
    const { runConfiguredDoctor } = await import('../wiring/doctor.ts')
    const known = { ...files.value, warnings: [...warnings, ...files.value.warnings] }
    const checked = await runConfiguredDoctor({ config, files: known, store, clock, publicUrl: options.publicUrl })
    if (options.json === true) outJson(output, checked)
    else for (const text of checked.flatMap(told)) output.out(text)
    return checked.some(({ outcome }) => outcome === 'failed') ? 1 : 0
  })
}

const SIGN = { ok: 'ok    ', note: 'note  ', failed: 'FAILED' } as const

function told({ name, outcome, detail, remedy, docs }: Checked): readonly string[] {
  const first = `${SIGN[outcome]}  ${name}: ${detail}`
  return outcome === 'failed' ? [first, `        change: ${remedy}`, `        see:    ${docs}`] : [first]
}

function isBase(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  return /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '' && url.username === ''
}
