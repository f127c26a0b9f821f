/** The outbox: what of the accepted knocks is still to be brought to which server. */
import type { EventId, RoomId, ServerName } from '../../matrix/identifiers.ts'

/** An accepted knock as other servers get it. */
export interface OutgoingEvent {
  readonly eventId: EventId
  /** Its canonical JSON as it was stored, without `unsigned`. Transactions share it: it is never written to. */
  readonly json: Uint8Array
}

/**
 * One transaction for one destination: resent unchanged, under the same id, until the destination answers 200, refuses it
 * (then half of it goes out under another id), or one of its events is dropped.
 */
export interface OutgoingTransaction {
  readonly destination: ServerName
  readonly txnId: string
  /** Its `origin_server_ts`: the first time that it was given out, the same ever after. */
  readonly startedAt: number
  /** Failures since the destination last answered 200. */
  readonly attempts: number
  /** The destination's last answer took long. */
  readonly slow: boolean
  /** How often the destination has refused it, since it holds one event alone. */
  readonly refusals: number
  /** When the oldest of its events was enqueued. */
  readonly oldestAt: number
  /** At most 50, and 512 KiB in all; oldest first. */
  readonly events: readonly OutgoingEvent[]
}

/** Whether an answer came in time or made others wait. */
export type Pace = 'quick' | 'slow'

export interface DeliveryFailure {
  /** Nothing is due for the destination before. Milliseconds since the epoch. */
  readonly retryAt: number
  /** The destination itself asked for this: `resume` does not go below it. Milliseconds since the epoch. */
  readonly notBefore?: number
  readonly reason: string
  /** The transaction's only event was refused for good: what goes out after it goes out alone, too, until a 200. */
  readonly refused?: true
}

/** Numbers for metrics. */
export interface QueueDepth {
  /** Rows. */
  readonly waiting: number
  /** Destinations to which the last delivery failed. */
  readonly failing: number
  /** Of the oldest row, in milliseconds. */
  readonly oldestAge: number
}

/** The durable outbox, seen by the delivery worker. Workers of one process or of several may share one. */
export interface DeliveryQueue {
  /** Turns accepted knocks into rows per destination, a bounded chunk at a time. True while there is more to do. */
  expand(): Promise<boolean>
  /**
   * Takes destinations that are due and that nobody holds, each with the transaction to send next to it: the same id and
   * events each time until it is delivered. Nobody else is given them before the claim has ended: by `delivered`,
   * `failed`, `halve` or `release` with its transaction's id, or with the process that holds it. Those that lag, because
   * the last delivery to them failed or took long, come after the others, and among each those first that are due soonest.
   * @param limit most destinations to take
   * @param lagging most of them that lag; `limit` where left out
   */
  claim(now: number, limit: number, lagging?: number): Promise<readonly OutgoingTransaction[]>
  /** When the next destination that nobody holds falls due, or undefined where none waits. */
  nextDue(): Promise<number | undefined>
  /**
   * Ends a claim: the transaction arrived. What else waits for the destination is due at once.
   * @param pace is remembered for a week, or until a quick answer, also where nothing waits any more; quick where left out
   */
  delivered(destination: ServerName, txnId: string, pace?: Pace): Promise<void>
  /** Ends a claim: the attempt failed. */
  failed(destination: ServerName, txnId: string, failure: DeliveryFailure): Promise<void>
  /**
   * Ends a claim: the destination refuses the transaction for good. One of its events is to blame, so half of them go out
   * next, at once and under another id, and so on until one stands alone.
   */
  halve(destination: ServerName, txnId: string, reason: string, pace?: Pace): Promise<void>
  /**
   * Ends a claim without a verdict, and no attempt is counted.
   * @param dueAt when it is due again; at once where left out. Milliseconds since the epoch
   */
  release(destination: ServerName, txnId: string, dueAt?: number): Promise<void>
  /**
   * These servers gave a sign of life: those that wait after a failure are due at once, or at their `notBefore`.
   * Cheap for servers for which nothing waits. True where one of them is due sooner than it was.
   */
  resume(destinations: readonly ServerName[]): Promise<boolean>
  /** What is due later than this is due then: for a clock that went back. */
  boundWaits(latest: number): Promise<void>
  /**
   * Removes what waits for a destination; how many events. What is left goes out under another transaction id.
   * @param before only events that were enqueued before this instant; all where left out
   */
  drop(destination: ServerName, before?: number): Promise<number>
  /**
   * Removes one event from what waits for a destination. A transaction that it was part of goes out without it, under
   * another id. @returns whether it waited
   */
  dropEvent(destination: ServerName, eventId: EventId): Promise<boolean>
  depth(now: number): Promise<QueueDepth>
  /** Calls back when an accepted knock was recorded by this process, so that delivery starts at once. */
  onEnqueued(listener: () => void): void
}

/** A server for which something waits. */
export interface WaitingDestination {
  readonly destination: ServerName
  /** Events. */
  readonly waiting: number
  /** Failures since the destination last answered 200. */
  readonly attempts: number
  readonly dueAt: number
  /** When the oldest event was enqueued. */
  readonly oldestAt: number
  /** Of the last failure. */
  readonly reason: string | undefined
}

/** An event that waits for a server. */
export interface WaitingEvent {
  /** Where it stands in the line: greater than that of every event before it. */
  readonly place: number
  readonly eventId: EventId
  readonly roomId: RoomId
  /** Of its canonical JSON. */
  readonly bytes: number
  readonly queuedAt: number
  /** The transaction that it is part of, once that was given out. */
  readonly txnId: string | undefined
}

/** The delivery commands' view of the outbox, beside a service that delivers. */
export interface DeliveryAdministration extends Pick<DeliveryQueue, 'expand' | 'drop' | 'dropEvent'> {
  /** By name, in the order of their UTF-8 bytes. */
  listDeliveries(after: ServerName | undefined, limit: number): Promise<readonly WaitingDestination[]>
  /** What waits for one server, oldest first. @param after the place of the last one that is known; 0 for the first */
  listWaiting(destination: ServerName, after: number, limit: number): Promise<readonly WaitingEvent[]>
  /** Makes what waits after a failure due at once, for one destination or for all; for how many. */
  retry(destination?: ServerName): Promise<number>
}
