/** `generate-proxy`: the fragment of a reverse proxy's configuration that sends knocks to this service. */
import { type ProxyName, proxyFragment } from '../config/proxy/proxies.ts'
import { type ExitCode, misconfigured } from './outcome.ts'
import { type CommandContext, type ConfigOption, withConfig } from './with-config.ts'
import { FILE_MODES, type WriteOptions, writeGenerated } from './write-file.ts'

export interface GenerateProxyOptions extends ConfigOption, WriteOptions {
  /** False with `--no-fallback`. */
  readonly fallback: boolean
}

export function generateProxy(
  context: CommandContext,
  proxy: ProxyName,
  options: GenerateProxyOptions,
): Promise<ExitCode> {
  return withConfig(context, options, async (config, line) => {
    const fragment = proxyFragment(proxy, config, options.fallback ? 'with fallback' : 'without fallback')
    if (!fragment.ok) return misconfigured(context.output, [line(fragment.problem)])
    if (fragment.goesPast.length > 0) {
      const keys = fragment.goesPast.join(', ')
      const whenAway = 'while this service cannot be reached, knocks go to the homeserver itself, past'
      context.output.err(`note: ${whenAway} ${keys}; --no-fallback leaves that out`)
    }
    return writeGenerated(fragment.text, options, FILE_MODES.everybodyReads, context.output)
  })
}
