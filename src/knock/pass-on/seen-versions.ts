/**
 * The versions of rooms that cannot be read: as the homeserver has named them, and else as far as an event tells by itself.
 * https://spec.matrix.org/latest/rooms/
 */
import { LRUCache } from 'lru-cache'
import type { RoomId } from '../../matrix/identifiers.ts'
import { ROOM_VERSIONS, type RoomVersion } from '../../matrix/room-versions.ts'
import { knockableVersion } from '../room-facts.ts'

export interface SeenVersions {
  /** The homeserver has named the version of this room, which never changes. */
  saw(roomId: RoomId, version: RoomVersion): void
  /** The one that it has named, or undefined. */
  of(roomId: RoomId): RoomVersion | undefined
}

const MAX_ROOMS = 10_000

export function createSeenVersions(): SeenVersions {
  const seen = new LRUCache<RoomId, RoomVersion>({ max: MAX_ROOMS })
  return {
    saw: (roomId, version) => void seen.set(roomId, version),
    of: (roomId) => seen.get(roomId),
  }
}

const KNOCKABLE = ROOM_VERSIONS.flatMap((id) => knockableVersion(id) ?? [])

/** One version for each way to name and redact an event among those in which users can knock, the oldest. */
export const TELLING_VERSIONS: readonly RoomVersion[] = KNOCKABLE.filter((version, at) => {
  const isSame = (other: RoomVersion): boolean =>
    other.redaction === version.redaction && other.eventId === version.eventId
  return KNOCKABLE.findIndex(isSame) === at
})
