/**
 * Whether the homeserver has taken an event into a room. Its answer to a transaction says nothing of that, so the event is
 * looked for: the feed brings it back, or the room's newest events lead to it. Rejected and soft-failed events do neither.
 * docs/decisions/0008-rooms-from-a-homeserver.md
 */
import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../knock/ports.ts'
import { prevEventIds } from '../matrix/event.ts'
import type { EventId, RoomId } from '../matrix/identifiers.ts'
import type { HomeserverClient } from './homeserver-client.ts'
import type { LocalUsers } from './local-users.ts'
import { readEvent, readRoomEdge } from './room-edge.ts'

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
/** Events that came after the one that is looked for, and that are followed back to it. */
const MAX_STEPS = 5
const REMEMBERED = 10_000

export function createAcceptance({ client, localUsers, clock }: AcceptanceOptions): Acceptance {
  const waiting = new Map<EventId, () => void>()
  const proven = new LRUCache<EventId, true>({ max: REMEMBERED })

  async function lookUntil(roomId: RoomId, eventId: EventId, deadline: number, signal: AbortSignal): Promise<boolean> {
    for (let wait = FIRST_LOOK_MS; clock() + wait < deadline; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
      await pause(wait, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return true
      if (await leadsTo(roomId, eventId, deadline)) return true
    }
    return false
  }

  /** Whether an event is a forward extremity, or an ancestor of one. */
  async function leadsTo(roomId: RoomId, eventId: EventId, deadline: number): Promise<boolean> {
    const edge = await readRoomEdge(client, roomId, localUsers.of(roomId), deadline)
    if (edge.kind !== 'edge') return false
    const next = [...edge.extremities]
    for (let step = 0; step < MAX_STEPS; step++) {
      const event = next.shift()
      if (event === undefined) return false
      if (event.eventId === eventId) return true
      const parents = prevEventIds(event.pdu)
      if (parents.includes(eventId)) return true
      for (const parent of parents) {
        const read = await readEvent(client, roomId, edge.version, parent, deadline)
        if (read.kind === 'event') next.push(read.event)
      }
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
