/**
 * Where a room of the homeserver stands, as one of its users: the first look is one request for rooms that it does not
 * know. docs/decisions/0008-rooms-from-a-homeserver.md
 */
import type { RoomId } from '../matrix/identifiers.ts'
import { findLocalUsers, type LocalUserSearch } from './local-user-search.ts'
import type { LocalUsers } from './local-users.ts'
import { type Absent, type RoomEnds, readRoomEnds, type Unavailable } from './room-edge.ts'

export interface RoomLookOptions extends LocalUserSearch {
  readonly localUsers: LocalUsers
}

export type RoomLook = RoomEnds | Absent | Unavailable

/** Users found in a room who are tried one after the other. */
const MAX_TRIED = 5

/** Looks as one of those who are thought to be joined. @param deadline absolute time in milliseconds */
export function lookAtRoom(
  { client, localUsers }: RoomLookOptions,
  roomId: RoomId,
  deadline: number,
): Promise<RoomLook> {
  return readRoomEnds(client, roomId, localUsers.of(roomId), deadline)
}

/**
 * Goes on where the first look found nobody: looks as the first of those found in the room who turns out to be joined.
 * @param first what the first look told
 * @param deadline absolute time in milliseconds
 */
export async function lookFurther(
  options: RoomLookOptions,
  roomId: RoomId,
  first: RoomLook,
  deadline: number,
): Promise<RoomLook> {
  if (first.kind !== 'absent' || !first.othersMayBeIn) return first
  let tried = 0
  for await (const found of findLocalUsers(options, roomId, deadline)) {
    if (found.kind === 'unavailable') return found
    const ends = await readRoomEnds(options.client, roomId, [found.userId], deadline)
    tried += 1
    if (ends.kind !== 'absent' || tried === MAX_TRIED) return ends
  }
  return first
}
