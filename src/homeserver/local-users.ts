/** Users of the homeserver who may be joined to a room: it is read in the name of one of them. */
import { LRUCache } from 'lru-cache'
import type { RoomId, UserId } from '../matrix/identifiers.ts'

export interface LocalUsers {
  /** Who to try, the likeliest first. */
  of(roomId: RoomId): readonly UserId[]
  /** The user is known to be joined. */
  joined(roomId: RoomId, userId: UserId): void
  /** The user is known to have left, or to be banned. */
  left(roomId: RoomId, userId: UserId): void
}

const MAX_ROOMS = 20_000
const USERS_PER_ROOM = 5

/**
 * @param configured `homeserver.local_users`: tried in every room
 * @param anyone a user id of the homeserver, tried last: some homeservers answer whoever asks
 */
export function createLocalUsers(configured: readonly UserId[], anyone: UserId): LocalUsers {
  const seen = new LRUCache<RoomId, readonly UserId[]>({ max: MAX_ROOMS })
  const without = (roomId: RoomId, userId: UserId): readonly UserId[] =>
    (seen.get(roomId) ?? []).filter((other) => other !== userId)
  return {
    of: (roomId) => [...new Set([...(seen.get(roomId) ?? []), ...configured, anyone])],
    joined(roomId, userId) {
      seen.set(roomId, [userId, ...without(roomId, userId)].slice(0, USERS_PER_ROOM))
    },
    left(roomId, userId) {
      if (seen.has(roomId)) seen.set(roomId, without(roomId, userId))
    },
  }
}
