/** The events of a room file in batches, each event with its id and hash checked. */
import { readRoomEvent, type SoundEvent } from './room-event.ts'
import { readRoomFile } from './room-file.ts'
import { EVENT_LISTS, type EventList, type RoomFileHeader } from './room-file-header.ts'

/** Events of one list, at least one. */
export interface EventBatch {
  readonly kind: 'events'
  readonly list: EventList
  readonly events: readonly SoundEvent[]
}

/** Nothing follows: an event does not hold together. The reason says where it stands in the file. */
export interface EventFlaw {
  readonly kind: 'flaw'
  readonly reason: string
}

/** So many events are checked and staged together. */
const BATCH = 200

/** @param chunks of a file whose header was read */
export async function* readRoomFileEvents(
  chunks: AsyncIterable<Uint8Array>,
  { roomId, version }: RoomFileHeader,
): AsyncGenerator<EventBatch | EventFlaw, void> {
  let list: EventList = 'pdus'
  let events: SoundEvent[] = []
  for await (const part of readRoomFile(chunks)) {
    if (part.kind === 'flaw') return yield part
    if (part.kind === 'value' || !isEventList(part.key)) continue
    if (events.length === BATCH || (part.key !== list && events.length > 0)) {
      yield { kind: 'events', list, events }
      events = []
    }
    list = part.key
    if (part.kind === 'list') continue
    const read = readRoomEvent(part.bytes, roomId, version)
    if (!read.ok) return yield { kind: 'flaw', reason: `${part.key}[${part.index}]: ${read.reason}` }
    events.push(read.event)
  }
  if (events.length > 0) yield { kind: 'events', list, events }
}

function isEventList(key: string): key is EventList {
  return (EVENT_LISTS as readonly string[]).includes(key)
}
