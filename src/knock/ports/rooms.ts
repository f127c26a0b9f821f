/**
 * What the use cases need from the world, in their own words: rooms, keys, time. The adapters implement these.
 * Every method is asynchronous, so that a store may live in this process, on another thread or across a network.
 */
import type { EventId, KeyId, RoomId, ServerName, UserId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'

export type { RoomEvent } from '../../matrix/pdu.ts'

/** Milliseconds since the Unix epoch. */
export type Clock = () => number

/**
 * The newest numbers of a room. `revision` grows with every change; `factsRevision` is the revision at which anything
 * but members and extremities last changed, so decoded facts stay good while people knock.
 */
export interface RoomHead {
  readonly roomId: RoomId
  /** Room version name, as the create event states it. */
  readonly version: string
  readonly revision: number
  readonly factsRevision: number
  /** Our server has a joined member and its state is whole. */
  readonly resident: boolean
}

/** State of the room that is not a membership, with the revision at which it last changed. */
export interface RoomFactsRecord {
  readonly factsRevision: number
  /**
   * Every event of FACT_TYPES (fact-types.ts) with an empty state key that the room has and that may be used. Of some types
   * each branch of the room may have its own: TYPES_OF_EVERY_BRANCH.
   */
  readonly state: readonly RoomEvent[]
  /** The types among them of which the room has an event that cannot be used. */
  readonly flaws: readonly FactFlaw[]
}

export interface FactFlaw {
  readonly type: string
  /** For the operator. */
  readonly reason: string
}

/** The place of one user in the state of a room. */
export interface Membership {
  /** The user's member event. */
  readonly member: RoomEvent | undefined
  /** Why it cannot be used, where the room has one that cannot. For the operator. */
  readonly memberFlaw: string | undefined
}

export interface Extremity {
  readonly eventId: EventId
  readonly depth: number
}

/** At most ten extremities for a template: all, or the 5 deepest and the 5 oldest. */
export interface ExtremitySelection {
  readonly revision: number
  readonly extremities: readonly Extremity[]
}

/** The state after one of the events that `prev_events` names, as far as a knock reads it. */
export interface Branch extends Membership {
  readonly eventId: EventId
  readonly depth: number
  readonly joinRules: RoomEvent | undefined
}

export interface KnockQuestion {
  readonly roomId: RoomId
  readonly sender: UserId
  /** Undefined of an event that has none yet. */
  readonly eventId: EventId | undefined
  readonly prevEvents: readonly EventId[]
  readonly authEvents: readonly EventId[]
}

/** All that send_knock reads of a room beside its facts, in one look. */
export interface KnockContext extends Membership {
  readonly head: RoomHead
  /** The event was accepted here before, or the room in use holds it: it came into the room another way. */
  readonly accepted: boolean
  /** It was accepted here, so it is recorded, and delivered where that is our part. */
  readonly recorded: boolean
  /** One entry per known `prev_events` id; an id that is missing here is unknown. */
  readonly branches: ReadonlyMap<EventId, Branch>
  /** The `auth_events` that we can name; an id that is missing here is unknown. */
  readonly authEvents: ReadonlyMap<EventId, RoomEvent>
}

/** One decision, kept for `knocks list` and audits. Never holds `reason` or `displayname`. */
export interface Decision {
  readonly time: number
  readonly endpoint: 'make_knock' | 'send_knock'
  readonly roomId: RoomId
  readonly userId: UserId
  readonly origin: ServerName
  readonly eventId: EventId | undefined
  readonly outcome: 'accepted' | 'refused'
  readonly status: number
  readonly errcode: string | undefined
  /** The specification's rule that decided. */
  readonly rule: string
  readonly reason: string
  readonly facts: DecisionFacts
}

/** The facts that a decision rests on. */
export interface DecisionFacts {
  readonly roomVersion: string | undefined
  readonly revision: number | undefined
  readonly joinRule: string | undefined
  readonly membership: string | undefined
  /** How old they may have been, in milliseconds; undefined where the store is the room's authority. */
  readonly ageMs: number | undefined
}

/**
 * A knock to be recorded: event, membership, extremities, decision and one outbox row in one transaction.
 * The store compares `expect` inside the transaction, so a decision that another change has overtaken is never written;
 * a knock that the homeserver has taken into the room already is written, once, whatever the store knows of the room.
 */
export interface KnockCommit {
  readonly roomId: RoomId
  readonly event: RoomEvent
  readonly sender: UserId
  readonly expect: KnockExpectation | 'in the room'
  readonly decision: Decision
  /** Servers that get no copy from us: our own and the knocker's, or all of them where the homeserver delivers. */
  readonly skipServers: readonly ServerName[] | 'all'
}

/** What a decision read of the current state. */
export interface KnockExpectation {
  readonly factsRevision: number
  readonly membership: string | undefined
}

export type CommitOutcome =
  | { readonly kind: 'committed'; readonly revision: number }
  /** The same event is recorded or in the room already: nothing was written. */
  | { readonly kind: 'duplicate' }
  /** What the decision rested on has changed: nothing was written; read again and decide again. */
  | { readonly kind: 'conflict' }
  /** The store could not write (disk full, database gone): nothing was written. */
  | { readonly kind: 'failed'; readonly reason: string }

export interface UserInRoom extends Membership {
  readonly head: RoomHead
}

/** Rooms as the knock use cases read and write them. */
export interface RoomStore {
  /** Newest numbers of a room with the user's place in its state, or undefined for an unknown room. One round trip. */
  readRoom(roomId: RoomId, userId: UserId | undefined): Promise<UserInRoom | undefined>
  readFacts(roomId: RoomId): Promise<RoomFactsRecord | undefined>
  readExtremities(roomId: RoomId): Promise<ExtremitySelection | undefined>
  /** Whether a server has a user with membership `join` in the room. */
  hasJoinedMember(roomId: RoomId, server: ServerName): Promise<boolean>
  readContext(question: KnockQuestion): Promise<KnockContext | undefined>
  commitKnock(commit: KnockCommit): Promise<CommitOutcome>
  /**
   * Keeps the record of a decision that changes no room here: a refusal, or a knock that was left to the homeserver.
   * Returns at once; bounded in memory, refusals on disk too: the newest win.
   */
  recordDecision(decision: Decision): void
}

/** What a store holds of one kind. */
export interface Held {
  readonly rows: number
  /** Undefined where telling it would cost too much: objects in memory. */
  readonly bytes: number | undefined
}

export type HeldKind = 'rooms' | 'events' | 'decisions' | 'attempts' | 'outbox' | 'keys'

/** What a store holds. */
export type Holdings = Readonly<Record<HeldKind, Held>>

/** A knock that passed every check here and is given to the homeserver, whose outcome is not known yet. */
export interface KnockAttempt {
  readonly event: RoomEvent
  /** Its record if it came into the room. Its time is when the attempt began. */
  readonly decision: Decision
}

/**
 * Attempts, in the order of their beginnings. An attempt ends with the commit of its event as one that is in the room, in
 * the same transaction. At most 10,000 are kept, of 64 MiB together, each for a day.
 */
export interface AttemptStore {
  /**
   * Keeps an attempt; an event that has one already keeps that. Where there are too many, it is not kept.
   * @returns false where the store cannot write
   */
  beginAttempt(attempt: KnockAttempt): Promise<boolean>
  /** Nothing is left to find out about an event. Where that cannot be written, its attempt stays. */
  endAttempt(eventId: EventId): Promise<void>
  /** The oldest. @param after those that began after this one, or at the same time and are named after it */
  listAttempts(limit: number, after?: KnockAttempt): Promise<readonly KnockAttempt[]>
}

/** A public key of a server as our keyring knows it. Times in milliseconds since the epoch. */
export interface VerifyKey {
  readonly keyId: KeyId
  readonly key: Uint8Array
  /** For current keys: the last instant at which it is valid, already capped to seven days after it was fetched. */
  readonly validUntil: number
  /** It was listed in `old_verify_keys`: good for events up to `validUntil`, never for requests. */
  readonly old: boolean
}

export type KeyLookup =
  | { readonly kind: 'keys'; readonly keys: readonly VerifyKey[] }
  /** None of the wanted keys could be had in time. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  /** They could not be asked for, for want of something of ours. It says nothing about the server. */
  | { readonly kind: 'lacking'; readonly reason: string }

/** Public keys of other servers, and of our own. */
export interface Keyring {
  /**
   * Keys of a server that are usable at an instant.
   * Answers from memory where every wanted id is known and valid at that time; otherwise asks the store, the server
   * and the notaries, within the deadline.
   * @param keyIds the ids that the signatures name; ids that nobody knows are simply missing from the answer
   * @param at the instant at which the keys must be valid: now for a request, `origin_server_ts` for an event
   * @param use `request`: current keys only; `event`: keys in `old_verify_keys` count up to their `expired_ts`
   * @param deadline absolute time in milliseconds at which to give up
   * @param cause who makes us ask: the network of an address, or a server by its events. What is bounded is shared among
   *   causes, so that a flood by one waits behind itself
   */
  keysFor(
    server: ServerName,
    keyIds: readonly KeyId[],
    at: number,
    use: 'request' | 'event',
    deadline: number,
    cause: string,
  ): Promise<KeyLookup>
  /** A key of this server has verified a request or an event. Anybody can have keys; those of such servers are kept. */
  proved(server: ServerName): void
}

/** A server's key response as it is kept across restarts. */
export interface StoredServerKeys {
  readonly server: ServerName
  readonly fetchedAt: number
  readonly keys: readonly VerifyKey[]
}

export interface KeyStore {
  readServerKeys(server: ServerName): Promise<StoredServerKeys | undefined>
  writeServerKeys(keys: StoredServerKeys): Promise<void>
}
