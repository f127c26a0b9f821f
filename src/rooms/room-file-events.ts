/** The events of a room file in batches, each event with its id and hash checked. */
import { setImmediate as breath } from 'node:timers/promises'
import { isJsonObject, parseJson } from '../matrix/json.ts'
import {
  type FlawedEvent,
  type RoomEventReading,
  readNamedEvent,
  readRoomEvent,
  type SoundEvent,
} from './room-event.ts'
import { MAX_PART_BYTES, type RoomFilePart, readRoomFile } from './room-file.ts'
import { EVENT_LISTS, type EventList, FLAWS, type RoomFileHeader } from './room-file-header.ts'

/** What one list holds next. */
export interface EventBatch {
  readonly kind: 'events'
  readonly list: EventList
  readonly events: readonly SoundEvent[]
  /** Of those that cannot be used. The reason says where it stands in the file. */
  readonly flaws: readonly FlawedEvent[]
  /** Those among `events` whose signatures are to be checked later. */
  readonly unverified?: ReadonlySet<SoundEvent>
}

/** Nothing follows: this cannot be a room. The reason says where it goes wrong. */
export interface EventFlaw {
  readonly kind: 'flaw'
  readonly reason: string
}

/** So many events, or bytes of events, are staged together. */
const BATCH = 200
const BATCH_BYTES = 256 * 1024
/** After so many bytes of events others get their turn. At worst they take some milliseconds, as one large event does. */
const BREATH_BYTES = 32 * 1024

/** @param chunks of a file whose header was read */
export async function* readRoomFileEvents(
  chunks: AsyncIterable<Uint8Array>,
  header: RoomFileHeader,
): AsyncGenerator<EventBatch | EventFlaw, void> {
  let batch = emptyBatch('pdus')
  let worked = 0
  for await (const part of readRoomFile(chunks)) {
    if (part.kind === 'flaw') return yield part
    const list = listOf(part)
    if (list === undefined) continue
    if (isFull(batch) || list !== batch.list) {
      if (sizeOf(batch) > 0) yield batch
      batch = emptyBatch(list)
    }
    const size = part.kind === 'item' ? part.bytes.length : 0
    worked += size
    if (worked > BREATH_BYTES) {
      await breath()
      worked = size
    }
    batch.bytes += size
    const read = readItem(part, header)
    if (read.ok) batch.events.push(read.event)
    else batch.flaws.push(read.flaw)
  }
  if (sizeOf(batch) > 0) yield batch
}

type Item = Extract<RoomFilePart, { kind: 'item' | 'oversized item' }>

/** The list to which a part adds something; flaws are said of the state. */
function listOf(part: RoomFilePart): EventList | undefined {
  if (part.kind !== 'item' && part.kind !== 'oversized item') return undefined
  return part.key === FLAWS ? 'pdus' : EVENT_LISTS.find((list) => list === part.key)
}

interface GrowingBatch extends EventBatch {
  readonly events: SoundEvent[]
  readonly flaws: FlawedEvent[]
  bytes: number
}

function emptyBatch(list: EventList): GrowingBatch {
  return { kind: 'events', list, events: [], flaws: [], bytes: 0 }
}

function sizeOf({ events, flaws }: EventBatch): number {
  return events.length + flaws.length
}

function isFull(batch: GrowingBatch): boolean {
  return sizeOf(batch) >= BATCH || batch.bytes >= BATCH_BYTES
}

function readItem(item: RoomFilePart, { roomId, version }: RoomFileHeader): RoomEventReading {
  const { key, index } = item as Item
  const place = `${key}[${index}]`
  if (item.kind !== 'item') return { ok: false, flaw: noEvent(`${place} is larger than ${MAX_PART_BYTES} bytes`) }
  if (key === FLAWS) return { ok: false, flaw: readFlaw(item.bytes) ?? noEvent(`${place} is no flaw of an event`) }
  const named = key === 'extremities' ? readNamedEvent(item.bytes) : undefined
  if (named !== undefined) return { ok: true, event: named }
  const read = readRoomEvent(item.bytes, roomId, version)
  return read.ok ? read : { ok: false, flaw: { ...read.flaw, reason: `${place}: ${read.flaw.reason}` } }
}

/** What an export says of a place in the state whose event could not be used. */
function readFlaw(bytes: Uint8Array): FlawedEvent | undefined {
  const json = parseJson(bytes)
  if (!json.ok || !isJsonObject(json.value)) return undefined
  const { type, state_key: stateKey, reason } = json.value
  if (typeof type !== 'string' || typeof stateKey !== 'string' || typeof reason !== 'string') return undefined
  return { reason, slot: { type, stateKey }, foreign: false }
}

function noEvent(reason: string): FlawedEvent {
  return { reason, slot: undefined, foreign: true }
}
