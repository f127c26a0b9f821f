/**
 * Rooms as the use cases open them: the newest numbers from the store, and decoded facts from memory while they hold.
 */
import { LRUCache } from 'lru-cache'
import type { RoomId, UserId } from '../matrix/identifiers.ts'
import type { RoomQuestion, RoomSupply } from './ports/homeserver.ts'
import type { ExtremitySelection, Membership, RoomHead, RoomStore } from './ports/rooms.ts'
import { decodeRoomFacts, type RoomFacts, type UnusableFacts } from './room-facts.ts'

export interface OpenRoom extends Membership {
  readonly kind: 'open'
  readonly head: RoomHead
  readonly facts: RoomFacts | UnusableFacts
  /** How old all this may be, in milliseconds; undefined where this store is the room's authority. */
  readonly ageMs: number | undefined
}

/** The homeserver has the room, or may have it, and does not tell now what it is like. */
export interface ClosedRoom {
  readonly kind: 'closed'
  /** Whether that is so of this room, or of all because the homeserver does not answer at all. */
  readonly concerns: 'this room' | 'all rooms'
  /** For the operator. */
  readonly reason: string
}

export interface Rooms {
  /**
   * The room as it is now, with one user's membership; undefined where we do not know it.
   * @param userId undefined where nobody's membership is asked for
   * @param question for whom, and how long the homeserver is waited for
   */
  open(roomId: RoomId, userId: UserId | undefined, question: RoomQuestion): Promise<OpenRoom | ClosedRoom | undefined>
  /** The extremities for a template, as of the head's revision or later. */
  extremities(head: RoomHead): Promise<ExtremitySelection | undefined>
}

/**
 * Keeps decoded facts and extremities of the rooms used last. An entry serves only while the revision that it was read
 * at is still the store's, so a change by another process shows at the next request.
 * @param maxRooms rooms kept in memory
 * @param supply brings rooms up to date before they are opened; undefined where the store is their authority
 */
export function createRooms(store: RoomStore, maxRooms: number, supply: RoomSupply | undefined): Rooms {
  const factsOf = new LRUCache<RoomId, { factsRevision: number; facts: OpenRoom['facts'] }>({ max: maxRooms })
  const extremitiesOf = new LRUCache<RoomId, ExtremitySelection>({ max: maxRooms })

  const facts = async ({ roomId, factsRevision }: RoomHead): Promise<OpenRoom['facts']> => {
    const kept = factsOf.get(roomId)
    if (kept?.factsRevision === factsRevision) return kept.facts
    const record = await store.readFacts(roomId)
    if (record === undefined) return { unusable: 'the room was removed meanwhile' }
    const decoded = { factsRevision: record.factsRevision, facts: decodeRoomFacts(record) }
    factsOf.set(roomId, decoded)
    return decoded.facts
  }

  return {
    async open(roomId, userId, question) {
      const freshness = await supply?.refresh(roomId, question)
      if (freshness?.kind === 'absent') return undefined
      if (freshness?.kind === 'unavailable') return closed('this room', freshness)
      if (freshness?.kind === 'out of order') return closed('all rooms', freshness)
      const found = await store.readRoom(roomId, userId)
      return found && { kind: 'open', ...found, facts: await facts(found.head), ageMs: freshness?.ageMs }
    },
    async extremities({ roomId, revision }) {
      const kept = extremitiesOf.get(roomId)
      if (kept?.revision === revision) return kept
      const selection = await store.readExtremities(roomId)
      if (selection !== undefined) extremitiesOf.set(roomId, selection)
      return selection
    },
  }
}

function closed(concerns: ClosedRoom['concerns'], { reason }: { readonly reason: string }): ClosedRoom {
  return { kind: 'closed', concerns, reason }
}
