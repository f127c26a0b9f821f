/** An import as its caller sees it: events go to the writer in chunks that are short transactions. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../knock/ports/rooms.ts'
import type {
  EventToStage,
  ImportHeader,
  ImportOutcome,
  RoomImport,
  SlotFlaw,
  StagedEvent,
} from '../knock/ports/store.ts'
import { canonicalJsonText } from '../matrix/canonical-json.ts'
import type { JobRunner, StageRow } from './jobs.ts'

/** A chunk holds this many events or characters of JSON at most: some milliseconds of the database's only write lock. */
const CHUNK_EVENTS = 250
const CHUNK_CHARACTERS = 512 * 1024
/** Between two chunks the lock is free this long, so that the service's writer gets its turn. */
const GAP_MS = 4
/** An import that waits for keys says so often that nobody takes it for abandoned. */
const SIGN_OF_LIFE_MS = 30_000
/** Knocks that arrive while the last ones are taken over are followed up at most so often. */
const MAX_ROUNDS = 10_000

/** Starts to stage a room. Faults that show up on the way are told by `swap`, which then refuses. */
export async function beginRoomImport(writer: JobRunner, header: ImportHeader, clock: Clock): Promise<RoomImport> {
  const { roomId, version, ownServer, discardKnocks } = header
  const snapshot = await writer.demand('beginImport', { now: clock(), roomId, version, ownServer, discardKnocks })
  const alive = setInterval(() => void writer.run('touchImport', { now: clock(), snapshot }), SIGN_OF_LIFE_MS)
  alive.unref()
  let fault: string | undefined
  let chunk: StageRow[] = []
  let characters = 0

  const flush = async () => {
    const rows = chunk
    chunk = []
    characters = 0
    if (rows.length === 0 || fault !== undefined) return
    const result = await writer.run('stage', { now: clock(), snapshot, rows })
    if (!result.ok) fault = result.reason
    await pause(GAP_MS)
  }
  // Rows wait for a whole chunk over several calls: a caller may hand over one event at a time.
  const stage = async <Event>(events: readonly Event[], rowOf: (event: Event) => StageRow) => {
    for (const event of events) {
      const row = rowOf(event)
      chunk.push(row)
      characters += row.json.length
      if (chunk.length >= CHUNK_EVENTS || characters >= CHUNK_CHARACTERS) await flush()
    }
  }
  const abort = async () => {
    clearInterval(alive)
    await writer.run('abortImport', { snapshot })
  }

  return {
    addState: (events) => stage(events, stateRow),
    addFlaws: (flaws) => stage(flaws, flawRow),
    addAuthChain: (events) => stage(events, (event) => otherRow(event, 'auth chain')),
    addExtremities: (events) => stage(events, (event) => otherRow(event, 'extremity')),
    abort,
    async swap() {
      await flush()
      clearInterval(alive)
      if (fault === undefined) {
        const outcome = await bringIntoUse(writer, snapshot, clock)
        if (outcome.ok) return outcome.output
        fault = outcome.reason
      }
      await abort()
      return { kind: 'refused', reason: `the import could not be written: ${fault}` }
    },
  }
}

async function bringIntoUse(
  writer: JobRunner,
  snapshot: number,
  clock: Clock,
): Promise<{ ok: true; output: ImportOutcome } | { ok: false; reason: string }> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const kept = await writer.run('keepKnocks', { snapshot })
    if (!kept.ok) return kept
    if (kept.output) {
      await pause(GAP_MS)
      continue
    }
    const swapped = await writer.run('swap', { now: clock(), snapshot })
    if (!swapped.ok) return swapped
    if (swapped.output !== undefined) return { ok: true, output: swapped.output }
  }
  return { ok: false, reason: 'knocks keep arriving faster than they can be taken over' }
}

function stateRow(event: StagedEvent): StageRow {
  const { type, state_key: stateKey = '', content } = event.pdu
  const membership = type === 'm.room.member' && typeof content.membership === 'string' ? content.membership : null
  const joined = membership === 'join' ? stateKey.slice(stateKey.indexOf(':') + 1) : null
  const { verified: checked, branch = 0 } = event
  return { ...otherRow(event, 'state'), type, stateKey, membership, joined, checked, fromRevision: 0 - branch }
}

function flawRow({ type, stateKey, reason: json }: SlotFlaw): StageRow {
  return { ...NOTHING, use: 'flaw', type, stateKey, json }
}

const NOTHING: Omit<StageRow, 'use' | 'json'> = {
  eventId: '',
  type: '',
  stateKey: '',
  membership: null,
  joined: null,
  depth: 0,
  checked: true,
  fromRevision: 0,
}

function otherRow({ eventId, pdu, json }: EventToStage, use: StageRow['use']): StageRow {
  return { ...NOTHING, use, eventId, depth: pdu.depth, json: json ?? canonicalJsonText(pdu) }
}
