/**
 * Rooms as the use cases open them: the newest numbers from the store, and decoded facts from memory while they hold.
 */
import { LRUCache } from 'lru-cache'
import type { RoomEvent } from '../matrix/event.ts'
import type { RoomId, UserId } from '../matrix/identifiers.ts'
import type { ExtremitySelection, RoomHead, RoomStore } from './ports.ts'
import { decodeRoomFacts, type RoomFacts } from './room-facts.ts'

export interface OpenRoom {
  readonly head: RoomHead
  /** Undefined where the room's create event cannot be used. */
  readonly facts: RoomFacts | undefined
  /** The user's current member event. */
  readonly member: RoomEvent | undefined
}

export interface Rooms {
  /** The room as it is now, with one user's membership; undefined where we do not know it. */
  open(roomId: RoomId, userId: UserId): Promise<OpenRoom | undefined>
  /** The extremities for a template, as of the head's revision or later. */
  extremities(head: RoomHead): Promise<ExtremitySelection | undefined>
}

/**
 * Keeps decoded facts and extremities of the rooms used last. An entry serves only while the revision that it was read
 * at is still the store's, so a change by another process shows at the next request.
 * @param maxRooms rooms kept in memory
 */
export function createRooms(store: RoomStore, maxRooms: number): Rooms {
  const factsOf = new LRUCache<RoomId, { factsRevision: number; facts: RoomFacts | undefined }>({ max: maxRooms })
  const extremitiesOf = new LRUCache<RoomId, ExtremitySelection>({ max: maxRooms })

  const facts = async ({ roomId, factsRevision }: RoomHead): Promise<RoomFacts | undefined> => {
    const kept = factsOf.get(roomId)
    if (kept?.factsRevision === factsRevision) return kept.facts
    const record = await store.readFacts(roomId)
    if (record === undefined) return undefined
    const decoded = { factsRevision: record.factsRevision, facts: decodeRoomFacts(record) }
    factsOf.set(roomId, decoded)
    return decoded.facts
  }

  return {
    async open(roomId, userId) {
      const found = await store.readRoom(roomId, userId)
      return found && { ...found, facts: await facts(found.head) }
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
