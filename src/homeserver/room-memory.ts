/** What is remembered of rooms of the homeserver: when they were read, that they are there, that they are not, or not now. */
import { LRUCache } from 'lru-cache'
import type { RoomFreshness } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { RoomId } from '../matrix/identifiers.ts'

export interface RoomMemory {
  /** What can be answered without asking the homeserver. @param notBefore what was read earlier is not enough */
  answer(roomId: RoomId, notBefore: number): RoomFreshness | undefined
  /** What is known of a room that is there; undefined for rooms of which nothing is known. */
  find(roomId: RoomId): KnownRoom | undefined
  /** The homeserver has the room. */
  there(roomId: RoomId): void
  /** How often it has changed, as far as is known: what was asked before another change may lack it. */
  changesOf(roomId: RoomId): number
  /**
   * It has been read.
   * @param readAt when that began, absolute time in milliseconds @param changes of which it was known then
   */
  read(roomId: RoomId, readAt: number, changes: number): void
  /** It could not be read. @param changes of which it was known when that began: after another one it may be read */
  missed(roomId: RoomId, outcome: Missed, changes: number): void
  /** It has changed: what was read before counts no longer, nor that it could not be read. */
  changed(roomId: RoomId): void
}

export interface RoomMemoryOptions {
  readonly clock: Clock
  /** Since when the homeserver has told of every change; undefined while it does not. Milliseconds since the epoch. */
  readonly liveSince: () => number | undefined
  /** Without a live feed a room is read again when it is older than this. Milliseconds. */
  readonly maxAgeMs: number
}

export interface KnownRoom {
  /** When its last reading began, in milliseconds; before all time where there was none. */
  readonly readAt: number
  /** Changes that were known when its last reading began. */
  readonly changesRead: number
  readonly changes: number
}

export type Missed = Exclude<RoomFreshness, { kind: 'fresh' }>

interface Miss {
  readonly outcome: Missed
  readonly until: number
  /** How long that is, in milliseconds. */
  readonly forMs: number
}

const NEVER = Number.NEGATIVE_INFINITY
const UNREAD: KnownRoom = { readAt: NEVER, changesRead: 0, changes: 0 }
const MAX_ROOMS = 50_000
const MAX_MISSES = 10_000
/** A room that is not there is asked for again after this time, or sooner where rooms are to be known better. */
const ABSENT_MS = 10_000
/** A room that cannot be read is soon tried again, because it may just have been joined, and then ever later. */
const FIRST_UNAVAILABLE_MS = 2_000
const LONGEST_UNAVAILABLE_MS = 16_000
/** With a live feed: state resolution changes state without an event, so rooms are read again now and then. */
const LIVE_MAX_AGE_MS = 3_600_000

export function createRoomMemory({ clock, liveSince, maxAgeMs }: RoomMemoryOptions): RoomMemory {
  const rooms = new LRUCache<RoomId, KnownRoom>({ max: MAX_ROOMS })
  const misses = new LRUCache<RoomId, Miss>({ max: MAX_MISSES })

  /** The age of what is stored, or undefined where it must be read again. */
  function ageOf(room: KnownRoom): number | undefined {
    const age = clock() - room.readAt
    const live = liveSince()
    if (hasChanged(room)) return undefined
    if (live !== undefined && live <= room.readAt && age <= LIVE_MAX_AGE_MS) return 0
    return age <= maxAgeMs ? age : undefined
  }

  function missedFor(roomId: RoomId, { kind }: Missed): number {
    if (kind === 'absent') return Math.min(ABSENT_MS, maxAgeMs)
    const before = misses.get(roomId)
    const again = before?.outcome.kind === kind
    return again ? Math.min(2 * before.forMs, LONGEST_UNAVAILABLE_MS) : FIRST_UNAVAILABLE_MS
  }

  return {
    answer(roomId, notBefore) {
      const room = rooms.get(roomId)
      const age = room !== undefined && room.readAt >= notBefore ? ageOf(room) : undefined
      if (age !== undefined) return { kind: 'fresh', ageMs: age }
      const miss = misses.get(roomId)
      return miss !== undefined && miss.until > clock() ? miss.outcome : undefined
    },
    find: (roomId) => rooms.get(roomId),
    there(roomId) {
      if (!rooms.has(roomId)) rooms.set(roomId, UNREAD)
    },
    changesOf: (roomId) => rooms.get(roomId)?.changes ?? 0,
    read(roomId, readAt, changesRead) {
      misses.delete(roomId)
      rooms.set(roomId, { readAt, changesRead, changes: rooms.get(roomId)?.changes ?? changesRead })
    },
    missed(roomId, outcome, changes) {
      const room = rooms.get(roomId)
      if ((room?.changes ?? 0) !== changes) return
      if (outcome.kind === 'absent') rooms.delete(roomId)
      else if (room !== undefined) rooms.set(roomId, { ...room, readAt: NEVER })
      // The homeserver may be back at any time, and all of its rooms with it.
      if (outcome.kind === 'out of order') return
      const forMs = missedFor(roomId, outcome)
      misses.set(roomId, { outcome, forMs, until: clock() + forMs })
    },
    changed(roomId) {
      misses.delete(roomId)
      const room = rooms.get(roomId) ?? UNREAD
      rooms.set(roomId, { ...room, changes: room.changes + 1 })
    },
  }
}

/** It has changed since its reading began. */
export function hasChanged({ changes, changesRead }: KnownRoom): boolean {
  return changes !== changesRead
}
