/**
 * Whether the homeserver has taken an event into a room. Its answer to a transaction says nothing of that, so the event is
 * looked for: the feed brings it back, or it is a forward extremity or in the state at one. Rejected and soft-failed events
 * are neither. The event's own state proves nothing: some homeservers keep one for what they left out.
 * docs/decisions/0008-rooms-from-a-homeserver.md
 */
import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../knock/ports.ts'
import type { EventId, RoomId } from '../matrix/identifiers.ts'
import type { HomeserverClient } from './homeserver-client.ts'
import type { LocalUsers } from './local-users.ts'
import { readRoomEnds, readStateIds } from './room-edge.ts'

export interface Acceptance {
  /**
   * Waits until the event is seen in the room.
   * @param deadline absolute time in milliseconds
   * @returns false where it was not seen by then, which proves nothing
   */
  proved(roomId: RoomId, eventId: EventId, deadline: number): Promise<boolean>
  /** The feed brought this event. @returns whether it was waited for, now or lately: then it is recorded by who waited */
  seen(eventId: EventId): boolean
}

export interface AcceptanceOptions {
  readonly client: HomeserverClient
  readonly localUsers: LocalUsers
  readonly clock: Clock
}

const FIRST_LOOK_MS = 30
const LONGEST_PAUSE_MS = 1_000
/** Extremities at whose state is looked. */
const MAX_BRANCHES = 3
const REMEMBERED = 10_000

export function createAcceptance({ client, localUsers, clock }: AcceptanceOptions): Acceptance {
  const waiting = new Map<EventId, () => void>()
  const proven = new LRUCache<EventId, true>({ max: REMEMBERED })

  async function lookUntil(roomId: RoomId, eventId: EventId, deadline: number, signal: AbortSignal): Promise<boolean> {
    for (let wait = FIRST_LOOK_MS; clock() + wait < deadline; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
      await pause(wait, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return true
      if (await isInRoom(roomId, eventId, deadline)) return true
    }
    return false
  }

  /** Whether an event is a forward extremity, or in the state at one. */
  async function isInRoom(roomId: RoomId, eventId: EventId, deadline: number): Promise<boolean> {
    const ends = await readRoomEnds(client, roomId, localUsers.of(roomId), deadline)
    if (ends.kind !== 'ends') return false
    if (ends.ids.includes(eventId)) return true
    for (const id of ends.ids.slice(0, MAX_BRANCHES)) {
      const state = await readStateIds(client, roomId, id, deadline)
      if (state.kind === 'ids' && state.ids.has(eventId)) return true
    }
    return false
  }

  return {
    async proved(roomId, eventId, deadline) {
      const stop = new AbortController()
      const told = new Promise<true>((resolve) => waiting.set(eventId, () => resolve(true)))
      try {
        const seen = await Promise.race([told, lookUntil(roomId, eventId, deadline, stop.signal)])
        if (seen) proven.set(eventId, true)
        return seen
      } finally {
        waiting.delete(eventId)
        stop.abort()
      }
    },
    seen(eventId) {
      const tell = waiting.get(eventId)
      tell?.()
      return tell !== undefined || proven.has(eventId)
    },
  }
}
