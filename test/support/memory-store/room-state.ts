/**
 * A room in memory: a snapshot (one import) and the changes on top of it, with the revision at which each began.
 * docs/architecture.md, "What is kept of a room".
 */
import type { Extremity, Membership, RoomHead } from '../../../src/knock/ports/rooms.ts'
import type { SlotFlaw } from '../../../src/knock/ports/store.ts'
import type { EventId, RoomId, ServerName } from '../../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../../src/matrix/pdu.ts'
import { createExtremitySet, type ExtremitySet } from './extremity-set.ts'

/** A value of one state key, from a revision on. Revision 0: since the snapshot is in use. */
export interface StateValue {
  readonly from: number
  readonly event: RoomEvent
  endedAt: number | undefined
}

/** An event that is or was an extremity. */
export interface KnownExtremity extends Extremity {
  readonly from: number
  endedAt: number | undefined
}

export interface ImportedEvent {
  readonly event: RoomEvent
  signatures: 'unchecked' | 'good' | 'wrong'
}

export interface Snapshot {
  readonly state: Map<string, StateValue[]>
  readonly events: Map<EventId, ImportedEvent>
  readonly joined: Map<ServerName, number>
  readonly known: Map<EventId, KnownExtremity>
  readonly extremities: ExtremitySet
  /** Knocks accepted here that are their sender's membership; true where the import knew them too. */
  readonly knocks: Map<EventId, boolean>
  /** Of types of which every branch counts, by key of the state: what the branches after the first have. */
  readonly branchValues: Map<string, RoomEvent[]>
  /** Places whose events cannot be used, by key of the state: since the snapshot is in use, until state comes into them. */
  readonly flaws: Map<string, SlotFlaw>
  readonly ownServer: ServerName
  fromRevision: number
  endedAt: number | undefined
}

export interface MemoryRoom {
  readonly roomId: RoomId
  readonly version: string
  /** Undefined while the room never had one that can be used. */
  createEvent: EventId | undefined
  readonly accepted: Map<EventId, RoomEvent>
  /** When each of them was recorded. */
  readonly acceptedAt: Map<EventId, number>
  /** Newest last; the last one is in use. */
  readonly snapshots: Snapshot[]
  revision: number
  factsRevision: number
}

export function createSnapshot(ownServer: ServerName): Snapshot {
  return {
    state: new Map(),
    events: new Map(),
    joined: new Map(),
    known: new Map(),
    extremities: createExtremitySet(),
    knocks: new Map(),
    branchValues: new Map(),
    flaws: new Map(),
    ownServer,
    fromRevision: 0,
    endedAt: undefined,
  }
}

export function inUse(room: MemoryRoom): Snapshot {
  return room.snapshots[room.snapshots.length - 1] as Snapshot
}

export function headOf(room: MemoryRoom): RoomHead {
  const { roomId, version, revision, factsRevision } = room
  const snapshot = inUse(room)
  return { roomId, version, revision, factsRevision, resident: snapshot.joined.has(snapshot.ownServer) }
}

/** Both in one: the length says where one ends, because no character does. */
export function stateKeyOf(type: string, stateKey: string): string {
  return `${type.length} ${type}${stateKey}`
}

/** Whether the import itself has an event that may be used. */
export function holds({ events }: Snapshot, eventId: EventId): boolean {
  const found = events.get(eventId)
  return found !== undefined && found.signatures !== 'wrong'
}

/** The newest value of a state key that began at a revision or before. */
export function stateAt(
  { state }: Snapshot,
  type: string,
  stateKey: string,
  revision = Number.MAX_SAFE_INTEGER,
): RoomEvent | undefined {
  return state.get(stateKeyOf(type, stateKey))?.findLast(({ from }) => from <= revision)?.event
}

/** The place of a user in the state of a revision. */
export function membershipAt(snapshot: Snapshot, userId: string, revision?: number): Membership {
  const member = stateAt(snapshot, 'm.room.member', userId, revision)
  const flaw = member === undefined ? snapshot.flaws.get(stateKeyOf('m.room.member', userId)) : undefined
  return { member, memberFlaw: flaw?.reason }
}

/** One joined member less on a user's server. */
export function removeJoined({ joined }: Snapshot, userId: string): void {
  const server = userId.slice(userId.indexOf(':') + 1) as ServerName
  const members = (joined.get(server) ?? 1) - 1
  if (members === 0) joined.delete(server)
  else joined.set(server, members)
}
