/** A whole store: what the use cases need of it, and what operators' commands and upkeep need beside. */
import type { RoomEvent } from '../matrix/event.ts'
import type { EventId, RoomId, ServerName, UserId } from '../matrix/identifiers.ts'
import type { DeliveryAdministration, DeliveryQueue } from './delivery-ports.ts'
import type { AttemptStore, Decision, Holdings, KeyStore, RoomHead, RoomStore } from './ports.ts'

/** What an import file says of the whole room. */
export interface ImportHeader {
  readonly roomId: RoomId
  readonly version: string
  /** A server with a joined member is ours: the room is resident. */
  readonly ownServer: ServerName
  readonly discardKnocks: boolean
}

export type ImportOutcome =
  | {
      readonly kind: 'imported'
      readonly revision: number
      readonly keptKnocks: number
      readonly droppedKnocks: number
    }
  | { readonly kind: 'refused'; readonly reason: string }

/** An event of the current state as an import stages it. */
export interface StagedEvent extends RoomEvent {
  /** Its signatures were checked and hold; false where a key could not be had yet. */
  readonly verified: boolean
}

/** A room being staged beside the one in use: nothing is visible before `swap`, and `abort` leaves no trace. */
export interface RoomImport {
  /** Current state, events that they reference, or extremities; in chunks of any size. */
  addState(events: readonly StagedEvent[]): Promise<void>
  addAuthChain(events: readonly RoomEvent[]): Promise<void>
  addExtremities(events: readonly RoomEvent[]): Promise<void>
  swap(): Promise<ImportOutcome>
  abort(): Promise<void>
}

/** The lists of events that make up a room: its current state, what an import brought with it, its forward extremities. */
export type RoomEventList = 'pdus' | 'auth_chain' | 'extremities'

/** A room as it was at one instant, read while the store goes on changing. */
export interface RoomCopy {
  readonly roomId: RoomId
  readonly version: string
  /**
   * Some events at a time.
   * @throws Error where what is copied was removed meanwhile
   */
  events(list: RoomEventList): AsyncIterable<readonly RoomEvent[]>
}

export interface RoomSummary extends RoomHead {
  readonly members: number
  readonly servers: number
  readonly extremities: number
  readonly name: string | undefined
}

/** The room commands' view of the store. */
export interface RoomAdministration {
  beginImport(header: ImportHeader): Promise<RoomImport>
  listRooms(after: RoomId | undefined, limit: number): Promise<readonly RoomSummary[]>
  roomSummary(roomId: RoomId): Promise<RoomSummary | undefined>
  /** The room as it is now; undefined where it is not known. */
  copyRoom(roomId: RoomId): Promise<RoomCopy | undefined>
  /** Decisions, newest first. */
  listDecisions(filter: DecisionFilter): Promise<readonly Decision[]>
}

export interface DecisionFilter {
  readonly roomId?: RoomId
  readonly userId?: UserId
  readonly limit: number
}

/** Events that decide or are served and whose signatures could not be checked at import. */
export interface SignatureAudit {
  /** Some of them: successive calls go round all, so that those whose keys stay away do not hide the others. */
  unverifiedEvents(limit: number): Promise<readonly { readonly roomId: RoomId; readonly event: RoomEvent }[]>
  /** `wrong` leaves the event out of the facts from now on (a room without its create event is unusable). */
  settle(roomId: RoomId, eventId: EventId, verdict: 'verified' | 'wrong'): Promise<void>
}

/** Whether a store can serve. */
export interface StoreHealth {
  /** For `/ready`. */
  check(): Promise<{ readonly ok: true } | { readonly ok: false; readonly reason: string }>
  /** What is wrong with what is stored, a sentence each: the first of each kind. Reads all of it. */
  flaws(): Promise<readonly string[]>
  /**
   * How much it holds, for metrics: cheap, whatever it holds. On PostgreSQL rows beyond 10,000 are the database's own
   * estimate, and bytes what the tables take up.
   */
  holdings(): Promise<Holdings>
  /** Calls back, with the reason, when this process will never write the store again. */
  onLost(listener: (reason: string) => void): void
}

/** A whole store with its lifetime. */
export interface Store
  extends RoomStore,
    AttemptStore,
    KeyStore,
    DeliveryQueue,
    DeliveryAdministration,
    RoomAdministration,
    SignatureAudit,
    StoreHealth {
  close(): Promise<void>
}
