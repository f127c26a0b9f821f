/** `generate-proxy`: the fragment of a reverse proxy's configuration that sends knocks to this service. */
import { type ProxyName, proxyFragment } from '../config/proxy/proxies.ts'
import { type CommandContext, type ConfigOption, withConfig } from './configured.ts'
import { type ExitCode, misconfigured } from './outcome.ts'
import { FILE_MODES, type WriteOptions, writeGenerated } from './write-file.ts'

export function generateProxy(
  context: CommandContext,
  proxy: ProxyName,
  options: ConfigOption & WriteOptions,
): Promise<ExitCode> {
  return withConfig(context, options, async (config, line) => {
    const fragment = proxyFragment(proxy, config)
    if (!fragment.ok) return misconfigured(context.output, [line(fragment.problem)])
    return writeGenerated(fragment.text, options, FILE_MODES.everybodyReads, context.output)
  })
}
