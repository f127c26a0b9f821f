/**
 * Reads a room from the homeserver as the homeserver itself: the state at its forward extremities as full PDUs, streamed.
 * docs/decisions/0008-rooms-from-a-homeserver.md
 */
import type { RoomId } from '../matrix/identifiers.ts'
import type { SoundEvent } from '../rooms/room-event.ts'
import { type EventBatch, type EventFlaw, readRoomFileEvents } from '../rooms/room-file-events.ts'
import type { RoomFileHeader } from '../rooms/room-file-header.ts'
import type { ByteStream, HomeserverClient } from './homeserver-client.ts'
import { type ContestedState, readContested, settleSlot, slotOf } from './room-branches.ts'
import { type RoomEdge, type RoomEnds, readRoomEdge, type Unavailable, unusable } from './room-edge.ts'

/** A room on its way: its events arrive while they are read. */
export interface RoomReading {
  readonly kind: 'room'
  readonly header: RoomFileHeader
  readonly events: AsyncIterable<EventBatch | EventFlaw>
}

/**
 * Begins to read a room whose ends are known.
 * @param deadline absolute time in milliseconds, for all of it
 */
export async function readRoom(
  client: HomeserverClient,
  roomId: RoomId,
  ends: RoomEnds,
  deadline: number,
): Promise<RoomReading | Unavailable> {
  const edge = await readRoomEdge(client, roomId, ends, deadline)
  if (edge.kind !== 'edge') return edge
  const contested = await readContested(client, roomId, edge, deadline)
  if (contested.kind === 'unavailable') return contested
  const [first] = edge.extremities
  const path = `/_matrix/federation/v1/state/${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(first?.eventId ?? '')}`
  const answer = await client.stream(path, deadline)
  if (answer.kind !== 'stream') return unusable('state', answer)
  const header = { roomId, version: edge.version }
  return { kind: 'room', header, events: overlaid(answer, header, edge, contested) }
}

/**
 * The state after the extremities. Some homeservers give the state before an event and some the state after it: laying the
 * event over either gives the same.
 */
async function* overlaid(
  { bytes, failure }: ByteStream,
  header: RoomFileHeader,
  { extremities }: RoomEdge,
  { slots, differing, resolved }: ContestedState,
): AsyncGenerator<EventBatch | EventFlaw, void> {
  const shared = new Map<string, SoundEvent>()
  const isContested = (event: SoundEvent): boolean => slots.has(slotOf(event) ?? '')
  for await (const batch of readRoomFileEvents(bytes, header)) {
    if (batch.kind === 'flaw') return yield { kind: 'flaw', reason: `state: ${failure() ?? batch.reason}` }
    if (batch.list !== 'pdus') {
      yield batch
      continue
    }
    for (const event of batch.events.filter(isContested)) {
      if (!differing.has(event.eventId)) shared.set(slotOf(event) ?? '', event)
    }
    yield { ...batch, events: batch.events.filter((event) => !isContested(event)) }
  }
  const state: SoundEvent[] = []
  for (const [slot, told] of slots) {
    const settled = settleSlot(told, shared.get(slot), resolved)
    if (settled === 'ambiguous') {
      return yield { kind: 'flaw', reason: `the branches of the room disagree on ${slot}` }
    }
    if (settled !== undefined) state.push(settled)
  }
  yield { kind: 'events', list: 'pdus', events: state }
  yield { kind: 'events', list: 'extremities', events: extremities }
}
