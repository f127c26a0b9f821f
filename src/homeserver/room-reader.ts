/**
 * Reads a room from the homeserver as the homeserver itself: the state at its forward extremities as full PDUs, streamed.
 * docs/decisions/0008-rooms-from-a-homeserver.md
 */
import type { RoomId } from '../matrix/identifiers.ts'
import { type EventBatch, type EventFlaw, readRoomFileEvents } from '../rooms/room-file-events.ts'
import type { RoomFileHeader } from '../rooms/room-file-header.ts'
import type { ByteStream, HomeserverClient } from './homeserver-client.ts'
import { type ContestedState, readContested, settleSlot, slotOfEvent, slotOfFlaw } from './room-branches.ts'
import { type NamedEvent, type RoomEdge, type RoomEnds, readRoomEdge, type Unavailable, unusable } from './room-edge.ts'

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
  const path = `/_matrix/federation/v1/state/${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(first.eventId)}`
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
  contested: ContestedState,
): AsyncGenerator<EventBatch | EventFlaw, void> {
  const shared = new Map<string, NamedEvent>()
  for await (const batch of readRoomFileEvents(bytes, header)) {
    if (batch.kind === 'flaw') return yield { kind: 'flaw', reason: `state: ${failure() ?? batch.reason}` }
    yield batch.list === 'pdus' ? uncontested(batch, contested, shared) : batch
  }
  const state = [...contested.slots].flatMap(([slot, told]) => settleSlot(told, shared.get(slot), contested.resolved))
  const events = state.flatMap((named) => (named.kind === 'event' ? named.event : []))
  const flaws = state.flatMap((named) => (named.kind === 'flawed' ? named.flaw : []))
  yield { kind: 'events', list: 'pdus', events, flaws }
  yield { kind: 'events', list: 'extremities', events: extremities, flaws: [] }
}

/** What of a batch of state is not contested. @param shared what of the rest all branches have, by slot; brought up to date */
function uncontested(
  batch: EventBatch,
  { slots, differing }: ContestedState,
  shared: Map<string, NamedEvent>,
): EventBatch {
  const isContested = (slot: string | undefined): boolean => slots.has(slot ?? '')
  for (const event of batch.events) {
    const slot = slotOfEvent(event) ?? ''
    if (isContested(slot) && !differing.has(event.eventId)) {
      shared.set(slot, { kind: 'event', eventId: event.eventId, event })
    }
  }
  for (const flaw of batch.flaws) {
    const slot = slotOfFlaw(flaw) ?? ''
    if (isContested(slot)) shared.set(slot, { kind: 'flawed', eventId: undefined, flaw })
  }
  return {
    ...batch,
    events: batch.events.filter((event) => !isContested(slotOfEvent(event))),
    flaws: batch.flaws.filter((flaw) => !isContested(slotOfFlaw(flaw))),
  }
}
