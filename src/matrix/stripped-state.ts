/**
 * What of a room's state a knocking server is shown: `knock_room_state`, full PDUs with the create event always there.
 * https://spec.matrix.org/latest/client-server-api/#stripped-state
 */
import type { JsonObject } from './json.ts'
import type { RoomEvent } from './pdu.ts'
import { without } from './signed-json.ts'

/** The types shown, each with an empty state key, where the room has them; nothing else of the room is. */
export const KNOCK_ROOM_STATE_TYPES = [
  'm.room.create',
  'm.room.join_rules',
  'm.room.name',
  'm.room.avatar',
  'm.room.canonical_alias',
  'm.room.encryption',
  'm.room.topic',
] as const

/**
 * The entries of `knock_room_state`, in the order of KNOCK_ROOM_STATE_TYPES, in the room version's format and without
 * `unsigned`.
 * @param state events with empty state keys, by type
 */
export function knockRoomState(state: ReadonlyMap<string, RoomEvent>): readonly JsonObject[] {
  return KNOCK_ROOM_STATE_TYPES.flatMap((type) => {
    const event = state.get(type)
    return event === undefined ? [] : [without(event.pdu, ['unsigned'])]
  })
}
