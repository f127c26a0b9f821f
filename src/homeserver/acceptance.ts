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
  /** The feed brought this knock. @returns whether it was waited for, now or lately: then it is recorded by who waited */
  seen(eventId: EventId): boolean
}

export interface AcceptanceOptions {
  readonly client: HomeserverClient
  readonly localUsers: LocalUsers
  readonly clock: Clock
}

const FIRST_LOOK_MS = 30
const LONGEST_PAUSE_MS = 1_000
/** Extremities at whose state is looked: as many as homeservers name. */
const MAX_BRANCHES = 20
const REMEMBERED = 10_000

export function createAcceptance({ client, localUsers, clock }: AcceptanceOptions): Acceptance {
  const waiting = new Map<EventId, Set<() => void>>()
  /** Brought by the feed before anybody waited: it can be faster than the answer to the transaction. */
  const brought = new LRUCache<EventId, true>({ max: REMEMBERED })
  const proven = new LRUCache<EventId, true>({ max: REMEMBERED })

  async function lookUntil(roomId: RoomId, eventId: EventId, deadline: number, signal: AbortSignal): Promise<boolean> {
    const looked = new Set<EventId>()
    for (let wait = FIRST_LOOK_MS; clock() + wait < deadline; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
      await pause(wait, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return true
      if (await isInRoom(roomId, eventId, looked, deadline)) return true
    }
    return false
  }

  /**
   * Whether an event is a forward extremity, or in the state at one.
   * @param looked extremities whose state, which never changes, does not have it; grows
   */
  async function isInRoom(roomId: RoomId, eventId: EventId, looked: Set<EventId>, deadline: number): Promise<boolean> {
    const ends = await readRoomEnds(client, roomId, localUsers.of(roomId), deadline)
    if (ends.kind !== 'ends') return false
    if (ends.ids.includes(eventId)) return true
    for (const id of ends.ids.slice(0, MAX_BRANCHES).filter((end) => !looked.has(end))) {
      const state = await readStateIds(client, roomId, id, deadline)
      if (state.kind === 'ids' && state.ids.has(eventId)) return true
      if (state.kind === 'ids') looked.add(id)
    }
    return false
  }

  function waitFor(eventId: EventId, tell: () => void): void {
    const others = waiting.get(eventId) ?? new Set()
    waiting.set(eventId, others.add(tell))
  }

  function stopWaiting(eventId: EventId, tell: () => void): void {
    const others = waiting.get(eventId)
    others?.delete(tell)
    if (others?.size === 0) waiting.delete(eventId)
  }

  return {
    async proved(roomId, eventId, deadline) {
      if (brought.has(eventId)) return true
      const stop = new AbortController()
      let tell = (): void => undefined
      const told = new Promise<true>((resolve) => {
        tell = () => resolve(true)
      })
      waitFor(eventId, tell)
      try {
        const seen = await Promise.race([told, lookUntil(roomId, eventId, deadline, stop.signal)])
        if (seen) proven.set(eventId, true)
        return seen
      } finally {
        stopWaiting(eventId, tell)
        stop.abort()
      }
    },
    seen(eventId) {
      brought.set(eventId, true)
      const waiters = waiting.get(eventId)
      for (const tell of waiters ?? []) tell()
      return waiters !== undefined || proven.has(eventId)
    },
  }
}
