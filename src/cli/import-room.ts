/** `rooms import`: brings room files into the store, beside a service that may be using it. */
import { loadOperatorFiles } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import type { RoomSummary } from '../knock/ports/store.ts'
import { reasonToClose } from '../knock/room-facts.ts'
import { printable } from '../observability/visible.ts'
import type { RoomImportReport } from '../rooms/import-room.ts'
import type { ConfiguredImport } from '../wiring/import.ts'
import { type ExitCode, misconfigured, type Output } from './outcome.ts'
import { type CommandContext, type ConfigOption, withStore } from './with-config.ts'

type Imported = Extract<RoomImportReport, { kind: 'imported' }>

export interface ImportOptions extends ConfigOption {
  readonly discardKnocks?: boolean
  readonly strict?: boolean
}

/** One after the other; a file that is refused keeps none of the others out. */
export function importRoomFiles(
  context: CommandContext,
  paths: readonly string[],
  options: ImportOptions,
): Promise<ExitCode> {
  const { output, clock } = context
  return withStore(context, options, async (store, config, line) => {
    const files = await loadOperatorFiles(config)
    if (!files.ok) return misconfigured(output, files.problems.map(line))
    let code: ExitCode = 0
    for (const file of paths) {
      const tolerance = options.strict === true ? 'refuse' : 'warn'
      const discardKnocks = options.discardKnocks === true
      const order: ConfiguredImport = { config, files: files.value, store, clock, file, discardKnocks, tolerance }
      const report = await attemptImport(order)
      if (report.kind === 'imported') await tell(output, order, report)
      else {
        output.err(`${file}: ${report.reason}. Nothing was changed.`)
        code = 1
      }
    }
    return code
  })
}

/** An import whose failure is told like a refusal: the file was not there, or the store could not be written. */
export async function attemptImport(order: ConfiguredImport): Promise<RoomImportReport> {
  try {
    // What importing needs takes a while to load.
    const { importConfiguredRoom } = await import('../wiring/import.ts')
    return await importConfiguredRoom(order)
  } catch (error) {
    return { kind: 'refused', reason: (error as Error).message }
  }
}

async function tell(output: Output, { store, config }: ConfiguredImport, report: Imported): Promise<void> {
  // It is imported, whatever the store can still tell of it.
  const summary = await store.roomSummary(report.header.roomId).catch(() => undefined)
  const facts = await store.readFacts(report.header.roomId).catch(() => undefined)
  for (const text of told(report, summary, config)) output.out(text)
  for (const text of warningsOf(report)) output.err(printable(`warning: ${text}`))
  const closed = reasonToClose(facts?.flaws ?? [])
  if (closed !== undefined) output.err(printable(`warning: knocks on this room are answered 404: ${closed}`))
}

/** A sentence for each of the first things that are wrong with the file and did not refuse it. */
export function warningsOf({ warnings, warned }: Imported): readonly string[] {
  const more = warned - warnings.length
  return more === 0 ? warnings : [...warnings, `${more} more of the kind`]
}

function told(
  { header, outcome, stateEvents, unverified, missingAuthEvents }: Imported,
  room: RoomSummary | undefined,
  config: Config,
): readonly string[] {
  const { keptKnocks, droppedKnocks } = outcome
  const size = room === undefined ? '' : `, ${room.members} joined members on ${room.servers} servers`
  const lines = [`Imported ${header.roomId} (version ${header.version.id}): ${stateEvents} events of state${size}.`]
  if (keptKnocks > 0) lines.push(`Kept knocks that were accepted here and that the file does not know: ${keptKnocks}.`)
  if (droppedKnocks > 0) lines.push(`Dropped knocks that were answered, or discarded as told: ${droppedKnocks}.`)
  if (room?.resident === false) {
    lines.push(`No user of ${config.server_name} is joined: knocks on this room are answered 404 until one is.`)
  }
  if (unverified.length > 0) {
    lines.push(`Signatures not checked yet: ${unverified.join(', ')}. The service checks them while it runs.`)
  }
  if (missingAuthEvents > 0) {
    lines.push(`Auth events that are referenced and not in the file: ${missingAuthEvents}.`)
  }
  return lines
}
