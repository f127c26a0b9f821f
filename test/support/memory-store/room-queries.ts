/** Rooms in memory as the use cases and the room commands read them. */
import { FACT_TYPES } from '../../../src/knock/fact-types.ts'
import type { Branch, Clock, FactFlaw, KnockContext, KnockQuestion, RoomStore } from '../../../src/knock/ports/rooms.ts'
import type { FlawFilter, RoomFlaw, RoomSummary } from '../../../src/knock/ports/store.ts'
import type { EventId, RoomId } from '../../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../../src/matrix/pdu.ts'
import { selectExtremities } from '../../../src/store/extremity-selection.ts'
import { headOf, holds, inUse, type MemoryRoom, membershipAt, stateAt, stateKeyOf } from './room-state.ts'

export type RoomQueries = Pick<
  RoomStore,
  'readRoom' | 'readFacts' | 'readExtremities' | 'hasJoinedMember' | 'readContext'
>

const NO_MEMBERSHIP = { member: undefined, memberFlaw: undefined }

export function createRoomQueries(
  rooms: ReadonlyMap<RoomId, MemoryRoom>,
  clock: Clock,
  historyMs: number,
): RoomQueries {
  return {
    async readRoom(roomId, userId) {
      const room = rooms.get(roomId)
      return (
        room && { head: headOf(room), ...(userId === undefined ? NO_MEMBERSHIP : membershipAt(inUse(room), userId)) }
      )
    },
    async readFacts(roomId) {
      const room = rooms.get(roomId)
      if (room === undefined) return undefined
      const { branchValues, flaws } = inUse(room)
      const state = FACT_TYPES.flatMap((type) => {
        return [...(branchValues.get(stateKeyOf(type, '')) ?? []), ...[stateAt(inUse(room), type, '') ?? []].flat()]
      })
      const flawed = [...flaws.values()].filter(({ stateKey }) => stateKey === '')
      return {
        factsRevision: room.factsRevision,
        state,
        flaws: flawed.map(({ type, reason }) => ({ type, reason })).sort(byType),
      }
    },
    async readExtremities(roomId) {
      const room = rooms.get(roomId)
      if (room === undefined) return undefined
      const { extremities } = inUse(room)
      return {
        revision: room.revision,
        extremities: selectExtremities(extremities.deepest(), () => extremities.oldest()),
      }
    },
    async hasJoinedMember(roomId, server) {
      const room = rooms.get(roomId)
      return room !== undefined && inUse(room).joined.has(server)
    },
    async readContext(question) {
      const room = rooms.get(question.roomId)
      return room && contextOf(room, question, clock() - historyMs)
    },
  }
}

function byType(left: FactFlaw, right: FactFlaw): number {
  return left.type < right.type ? -1 : 1
}

function contextOf(room: MemoryRoom, question: KnockQuestion, cutoff: number): KnockContext {
  const branches = new Map<EventId, Branch>()
  for (const id of question.prevEvents) {
    const branch = branchAfter(room, id, question.sender, cutoff)
    if (branch !== undefined) branches.set(id, branch)
  }
  const authEvents = new Map<EventId, RoomEvent>()
  for (const id of question.authEvents) {
    const event = eventOf(room, id)
    if (event !== undefined) authEvents.set(id, event)
  }
  const { eventId } = question
  const recorded = eventId !== undefined && room.accepted.has(eventId)
  return {
    head: headOf(room),
    ...membershipAt(inUse(room), question.sender),
    accepted: recorded || (eventId !== undefined && holds(inUse(room), eventId)),
    recorded,
    branches,
    authEvents,
  }
}

function branchAfter(room: MemoryRoom, eventId: EventId, sender: string, cutoff: number): Branch | undefined {
  // An event that several imports named has the state of the last: branches of one template must not differ by age.
  const snapshot = room.snapshots.findLast(
    ({ known, endedAt = Number.POSITIVE_INFINITY }) =>
      endedAt > cutoff && (known.get(eventId)?.endedAt ?? Number.POSITIVE_INFINITY) > cutoff && known.has(eventId),
  )
  const extremity = snapshot?.known.get(eventId)
  if (snapshot === undefined || extremity === undefined) return undefined
  const revision = Math.max(extremity.from, snapshot.fromRevision)
  return {
    eventId,
    depth: extremity.depth,
    joinRules: stateAt(snapshot, 'm.room.join_rules', '', revision),
    ...membershipAt(snapshot, sender, revision),
  }
}

function eventOf(room: MemoryRoom, eventId: EventId): RoomEvent | undefined {
  for (const { events } of [...room.snapshots].reverse()) {
    const found = events.get(eventId)
    if (found !== undefined && found.signatures !== 'wrong') return found.event
  }
  return room.accepted.get(eventId)
}

export function summaryOf(room: MemoryRoom): RoomSummary {
  const snapshot = inUse(room)
  const name = stateAt(snapshot, 'm.room.name', '')?.pdu.content.name
  return {
    ...headOf(room),
    members: [...snapshot.joined.values()].reduce((sum, members) => sum + members, 0),
    servers: snapshot.joined.size,
    extremities: snapshot.extremities.size,
    name: typeof name === 'string' ? name : undefined,
  }
}

export function flawsOf(room: MemoryRoom, filter: FlawFilter): readonly RoomFlaw[] {
  const found = [...inUse(room).flaws.values()].map((flaw) => ({ roomId: room.roomId, ...flaw }))
  if ('roomId' in filter) return filter.roomId === room.roomId ? found : []
  return found.filter(({ type, stateKey }) => stateKey === '' && filter.types.includes(type))
}
