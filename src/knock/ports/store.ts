/** A whole store: what the use cases need of it, and what operators' commands and upkeep need beside. */
import type { EventId, RoomId, ServerName, UserId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import type { DeliveryAdministration, DeliveryQueue } from './deliveries.ts'
import type { AttemptStore, Decision, Holdings, KeyStore, RoomHead, RoomStore } from './rooms.ts'

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

/** An event as an import stages it. */
export interface EventToStage extends RoomEvent {
  /** The PDU as canonical JSON, where that is at hand. */
  readonly json?: string
}

/** An event of the current state. */
export interface StagedEvent extends EventToStage {
  /** Its signatures were checked and hold, or are the word of the homeserver; false where they are checked later. */
  readonly verified: boolean
  /**
   * Place among the values that the branches of a room have for one type of TYPES_OF_EVERY_BRANCH (fact-types.ts), all of
   * which count. Default 0.
   */
  readonly branch?: number
}

/** A place in the state whose event cannot be used: nobody knows what it says. */
export interface SlotFlaw {
  readonly type: string
  readonly stateKey: string
  /** For the operator. */
  readonly reason: string
}

export interface RoomFlaw extends SlotFlaw {
  readonly roomId: RoomId
}

/** Those of one room, or in all rooms those of some types with an empty state key. */
export type FlawFilter = { readonly limit: number } & (
  | { readonly roomId: RoomId }
  | { readonly types: readonly string[] }
)

/** A room being staged beside the one in use: nothing is visible before `swap`, and `abort` leaves no trace. */
export interface RoomImport {
  /** Current state, events that they reference, or extremities; in chunks of any size. */
  addState(events: readonly StagedEvent[]): Promise<void>
  /** In place of state. What stands in such a place later, such as a knock, is used again. */
  addFlaws(flaws: readonly SlotFlaw[]): Promise<void>
  addAuthChain(events: readonly EventToStage[]): Promise<void>
  addExtremities(events: readonly EventToStage[]): Promise<void>
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
  /** The places in its state whose events cannot be used. @throws Error as `events` does */
  flaws(): AsyncIterable<readonly SlotFlaw[]>
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
  /** Places in the state of rooms whose events cannot be used. */
  listFlaws(filter: FlawFilter): Promise<readonly RoomFlaw[]>
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
  /** `wrong` leaves the event out of the state from now on, and a flaw in its place. */
  settle(roomId: RoomId, eventId: EventId, verdict: 'verified' | 'wrong'): Promise<void>
}

/** Whether a store can serve. */
/** Whether a store can be read and written now; if not, why, for the operator. */
export type StoreCheck = { readonly ok: true } | { readonly ok: false; readonly reason: string }

export interface StoreHealth {
  /** For `/ready`. */
  check(): Promise<StoreCheck>
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
