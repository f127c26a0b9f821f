/** What commands share: the configuration from `-c` and the environment, and the store that it names. */
import { loadConfig } from '../config/load-config.ts'
import type { Problem } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { type ExitCode, misconfigured, type Output } from './outcome.ts'

export interface CommandContext {
  readonly output: Output
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
}

export interface ConfigOption {
  /** Paths given with `-c`. */
  readonly config: readonly string[]
}

/** Runs a command on the configuration, or says what is wrong with it. */
export async function withConfig(
  { output, environment }: CommandContext,
  { config: files }: ConfigOption,
  command: (config: Config, line: (problem: Problem) => string, warnings: readonly string[]) => Promise<ExitCode>,
): Promise<ExitCode> {
  const loaded = await loadConfig(files, environment)
  if (!loaded.ok) return misconfigured(output, loaded.problems)
  return command(loaded.config, loaded.line, loaded.warnings)
}

/** Runs a command on the store, beside a service that may be using it, and closes it. */
export function withStore(
  context: CommandContext,
  option: ConfigOption,
  command: (
    ...opened: [store: Store, config: Config, line: (problem: Problem) => string, warnings: readonly string[]]
  ) => Promise<ExitCode>,
): Promise<ExitCode> {
  return withConfig(context, option, async (config, line, warnings) => {
    const store = await open(context, config, line)
    if (store === undefined) return 1
    try {
      return await command(store, config, line, warnings)
    } finally {
      await store.close()
    }
  })
}

async function open(
  { clock, output }: CommandContext,
  config: Config,
  line: (problem: Problem) => string,
): Promise<Store | undefined> {
  try {
    const { openConfiguredStore } = await import('../wiring/store.ts')
    return await openConfiguredStore(config, clock, (message) => output.err(`warning: ${message}`))
  } catch (error) {
    output.err(line(storeProblem(config, error)))
    return undefined
  }
}

/** Why the store cannot be opened, under the key that names it. */
export function storeProblem({ store }: Config, error: unknown): Problem {
  const { message } = error as Error
  if (store.kind !== 'postgres') return { key: 'store.path', what: `${store.path} cannot be opened: ${message}` }
  const key = store.url === undefined ? 'store.url_path' : 'store.url'
  return { key, what: `the database cannot be opened: ${message}` }
}
