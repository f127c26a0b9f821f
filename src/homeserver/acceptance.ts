/**
 * Whether the homeserver has taken an event into a room. Its answer to a transaction says nothing of that, so the event is
 * looked for: the feed brings it back, or it is a forward extremity or in the state at one. Rejected and soft-failed events
 * are neither. The event's own state proves nothing: some homeservers keep one for what they left out.
 * docs/decisions/0008-rooms-from-a-homeserver.md
 */
import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../knock/ports/rooms.ts'
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
  /**
   * Looks once which of some events are in the room.
   * @param deadline absolute time in milliseconds
   * @returns those that were seen, or why none could be
   */
  look(
    roomId: RoomId,
    eventIds: readonly EventId[],
    deadline: number,
  ): Promise<ReadonlySet<EventId> | 'absent' | 'unavailable'>
  /** The feed brought this knock. @returns whether it was waited for, now or lately: then it is recorded by who waited */
  seen(eventId: EventId): boolean
  /** Calls back when the feed brought a knock that was not waited for. */
  onUnawaited(listener: () => void): void
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
const REMEMBERED_LOOKS = 1_000

/** What the last look at a room found out. */
interface Look {
  readonly eventIds: ReadonlySet<EventId>
  /** Extremities whose state has none of these events. */
  readonly looked: ReadonlySet<EventId>
}

export function createAcceptance({ client, localUsers, clock }: AcceptanceOptions): Acceptance {
  const waiting = new Map<EventId, Set<() => void>>()
  /** Brought by the feed before anybody waited: it can be faster than the answer to the transaction. */
  const brought = new LRUCache<EventId, true>({ max: REMEMBERED })
  const proven = new LRUCache<EventId, true>({ max: REMEMBERED })
  const lastLooks = new LRUCache<RoomId, Look>({ max: REMEMBERED_LOOKS })
  const listeners: (() => void)[] = []

  async function lookUntil(roomId: RoomId, eventId: EventId, deadline: number, signal: AbortSignal): Promise<boolean> {
    const looked = new Set<EventId>()
    for (let wait = FIRST_LOOK_MS; clock() + wait < deadline; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
      await pause(wait, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return true
      const found = await find(roomId, [eventId], looked, deadline)
      if (typeof found === 'object' && found.has(eventId)) return true
    }
    return false
  }

  /**
   * Those of some events that are forward extremities, or in the state at one.
   * @param looked extremities whose state, which never changes, has none of them; brought up to date
   */
  async function find(
    roomId: RoomId,
    eventIds: readonly EventId[],
    looked: Set<EventId>,
    deadline: number,
  ): Promise<ReadonlySet<EventId> | 'absent' | 'unavailable'> {
    const ends = await readRoomEnds(client, roomId, localUsers.of(roomId), deadline)
    if (ends.kind !== 'ends') return ends.kind
    for (const id of looked) if (!ends.ids.includes(id)) looked.delete(id)
    const found = new Set(eventIds.filter((id) => ends.ids.includes(id)))
    for (const end of ends.ids.slice(0, MAX_BRANCHES).filter((id) => !looked.has(id))) {
      if (found.size === eventIds.length) break
      const state = await readStateIds(client, roomId, end, deadline)
      if (state.kind !== 'ids') continue
      const there = eventIds.filter((id) => state.ids.has(id))
      for (const id of there) found.add(id)
      if (there.length === 0) looked.add(end)
    }
    return found
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
    async look(roomId, eventIds, deadline) {
      const told = eventIds.filter((id) => brought.has(id))
      if (told.length === eventIds.length) return new Set(told)
      const last = lastLooks.get(roomId)
      const looked = new Set(eventIds.every((id) => last?.eventIds.has(id)) ? last?.looked : [])
      const found = await find(roomId, eventIds, looked, deadline)
      if (typeof found !== 'object') return told.length > 0 ? new Set(told) : found
      lastLooks.set(roomId, { eventIds: new Set(eventIds), looked })
      return new Set([...told, ...found])
    },
    seen(eventId) {
      brought.set(eventId, true)
      const waiters = waiting.get(eventId)
      for (const tell of waiters ?? []) tell()
      const isAwaited = waiters !== undefined || proven.has(eventId)
      if (!isAwaited) for (const listener of listeners) listener()
      return isAwaited
    },
    onUnawaited: (listener) => listeners.push(listener),
  }
}
