/** `run`: serves until it is told to stop. */
import closeWithGrace from 'close-with-grace'
import { loadOperatorFiles, type OperatorFiles } from '../config/operator-files.ts'
import type { Problem } from '../config/problem.ts'
import { requireHandover } from '../config/require-handover.ts'
import type { Config } from '../config/schema.ts'
import { listProblems } from '../config/server-lists.ts'
import type { Store } from '../knock/ports/store.ts'
import { type Log, type OpenLog, openLog } from '../observability/log.ts'
import type { Service } from '../wiring/service.ts'
import { openConfiguredStore } from '../wiring/store.ts'
import { type ExitCode, misconfigured } from './outcome.ts'
import { type CommandContext, type ConfigOption, storeProblem, withConfig } from './with-config.ts'

/** Beyond the longest request: deliveries under way, and the store's last commit. */
const MARGIN_MS = 10_000

export function run(context: CommandContext, option: ConfigOption): Promise<ExitCode> {
  return withConfig(context, option, async (config, line, warnings) => {
    const files = await loadOperatorFiles(config)
    const problems = [...requireHandover(config), ...(files.ok ? [] : files.problems)]
    if (!files.ok || problems.length > 0) return misconfigured(context.output, problems.map(line))
    const opened = await openLog(config.log.level)
    try {
      return await serve(context, { config, files: files.value, line, warnings }, opened)
    } finally {
      opened.flush()
    }
  })
}

interface Checked {
  readonly config: Config
  readonly files: OperatorFiles
  /** Of the configuration itself. */
  readonly warnings: readonly string[]
  line(problem: Problem): string
}

async function serve(
  context: CommandContext,
  { config, files, line, warnings }: Checked,
  logging: OpenLog,
): Promise<ExitCode> {
  const { log, flush } = logging
  for (const warning of [...warnings, ...files.warnings, ...listProblems(config).map(line)]) log.warn(warning)
  // Loading what serving needs takes a while, and so does opening the store.
  const loading = import('../wiring/service.ts')
  let store: Store
  try {
    store = await openConfiguredStore(config, context.clock, (message) => log.warn(message))
  } catch (error) {
    context.output.err(line(storeProblem(config, error)))
    return 1
  }
  let service: Service
  try {
    const { startService } = await loading
    service = await startService({ config, files, store, logging, clock: context.clock })
  } catch (error) {
    context.output.err((error as Error).message)
    return 1
  }
  // Who reads that it listens may stop it at once.
  const stopped = untilStopped(config, service, store, log, flush)
  announce(log, config, files, service)
  flush()
  await stopped
  return 0
}

function announce(log: Log, config: Config, { signingKey }: OperatorFiles, { address, adminAddress }: Service): void {
  log.info({ server_name: config.server_name, address, admin: adminAddress, store: config.store.kind }, 'listening')
  const { handover, url } = config.homeserver
  log.info({ handover, url }, WHOSE_ROOMS[signingKey === undefined ? 'unread' : (handover ?? 'none')])
}

const WHOSE_ROOMS = {
  none: 'homeserver.handover is none: this service is the authority of its rooms and sends accepted knocks to their other servers itself',
  inject:
    'rooms are read from the homeserver; accepted knocks are given to it, and sent to the other servers from here',
  forward:
    'rooms are read from the homeserver; accepted knocks are sent on to it, and it sends them to the other servers',
  unread:
    'rooms cannot be read without the signing key: knocks that are what they say are sent on to the homeserver, which decides by the rules of its rooms and sends them to the other servers',
} as const

/** Ends with the process: by a signal with code 0, by an uncaught exception or with the store with code 1. */
function untilStopped(
  config: Config,
  service: Service,
  store: Pick<Store, 'onLost'>,
  log: Log,
  flush: () => void,
): Promise<never> {
  process.once('exit', flush)
  const delay = config.timeouts.request_seconds * 1000 + MARGIN_MS
  let lost: string | undefined
  // From here on the log tells of them.
  process.removeAllListeners('uncaughtException')
  const { close } = closeWithGrace(
    { delay, logger: { error: (error: unknown) => log.error({ err: error }, 'stopping') } },
    async (why) => {
      if (why.err !== undefined) log.fatal({ err: why.err }, 'uncaught exception')
      log.info({ signal: why.signal }, 'stopping')
      flush()
      await service.stop()
      log.info('stopped')
      if (lost !== undefined) throw new Error(lost)
    },
  )
  store.onLost((reason) => {
    lost = reason
    log.fatal({ reason }, 'the store is lost: ending, so that a supervisor starts the service anew')
    void close()
  })
  return new Promise(() => undefined)
}
