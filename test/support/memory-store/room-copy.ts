/** A room as it is at one instant. */
import type { RoomCopy } from '../../../src/knock/ports/store.ts'
import type { EventId } from '../../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../../src/matrix/pdu.ts'
import { inUse, type MemoryRoom, stateAt } from './room-state.ts'

export function copyOf(room: MemoryRoom): RoomCopy {
  const { state, events, extremities, branchValues, flaws } = inUse(room)
  const pdus = [
    ...[...branchValues.values()].flat(),
    ...[...state.values()].flatMap((values) => values.at(-1)?.event ?? []),
  ]
  const standing = [...flaws.values()].filter(
    ({ type, stateKey }) => stateAt(inUse(room), type, stateKey) === undefined,
  )
  const ends = extremities.ids().flatMap((id) => events.get(id)?.event ?? room.accepted.get(id) ?? [])
  const listed = new Set<EventId>([...pdus, ...ends].map(({ eventId }) => eventId))
  const others = [...events.values()]
    .filter(({ event, signatures }) => signatures !== 'wrong' && !listed.has(event.eventId))
    .map(({ event }) => event)
  const lists: Readonly<Record<string, readonly RoomEvent[]>> = { pdus, auth_chain: others, extremities: ends }
  return {
    roomId: room.roomId,
    version: room.version,
    async *events(list) {
      yield lists[list] ?? []
    },
    async *flaws() {
      yield standing
    },
  }
}
