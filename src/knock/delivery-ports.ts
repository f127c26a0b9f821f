/** The outbox: what of the accepted knocks is still to be brought to which server. */
import type { RoomEvent } from '../matrix/event.ts'
import type { ServerName } from '../matrix/identifiers.ts'

/** One transaction for one destination: resent unchanged, under the same id, until the destination answers 200. */
export interface OutgoingTransaction {
  readonly destination: ServerName
  readonly txnId: string
  /** Its `origin_server_ts`: the first time that it was given out, the same ever after. */
  readonly startedAt: number
  /** Failures since the destination last answered 200. */
  readonly attempts: number
  /** When the oldest of its events was enqueued. */
  readonly oldestAt: number
  /** At most 50, oldest first. */
  readonly events: readonly RoomEvent[]
}

export interface DeliveryFailure {
  /** Nothing is due for the destination before. Milliseconds since the epoch. */
  readonly retryAt: number
  /** The destination itself asked for this: `resume` does not go below it. Milliseconds since the epoch. */
  readonly notBefore?: number
  readonly reason: string
}

/** The durable outbox, seen by the delivery worker. Workers of one process or of several may share one. */
export interface DeliveryQueue {
  /** Turns accepted knocks into rows per destination, a bounded chunk at a time. True while there is more to do. */
  expand(): Promise<boolean>
  /**
   * Takes destinations that are due and that nobody holds, each with the transaction to send next to it: the same id and
   * events each time until it is delivered. Nobody else is given them before the claim has ended: by `delivered`,
   * `failed` or `release` with its transaction's id, or with the process that holds it. Those to which the last delivery
   * did not fail come before the others, and among each those that are due soonest.
   * @param limit most destinations to take
   * @param failing most of them to which the last delivery failed; `limit` where left out
   */
  claim(now: number, limit: number, failing?: number): Promise<readonly OutgoingTransaction[]>
  /** When the next destination that nobody holds falls due, or undefined where none waits. */
  nextDue(): Promise<number | undefined>
  /** Ends a claim: the transaction arrived. What else waits for the destination is due at once. */
  delivered(destination: ServerName, txnId: string): Promise<void>
  /** Ends a claim: the attempt failed. */
  failed(destination: ServerName, txnId: string, failure: DeliveryFailure): Promise<void>
  /** Ends a claim without a verdict: due again at once, and no attempt is counted. */
  release(destination: ServerName, txnId: string): Promise<void>
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
  /** Numbers for metrics: rows waiting, destinations failing, age of the oldest row in milliseconds. */
  depth(now: number): Promise<{ readonly waiting: number; readonly failing: number; readonly oldestAge: number }>
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

/** The delivery commands' view of the outbox, beside a service that delivers. */
export interface DeliveryAdministration extends Pick<DeliveryQueue, 'expand' | 'drop'> {
  /** By name, in the order of their UTF-8 bytes. */
  listDeliveries(after: ServerName | undefined, limit: number): Promise<readonly WaitingDestination[]>
  /** Makes what waits after a failure due at once, for one destination or for all; for how many. */
  retry(destination?: ServerName): Promise<number>
}
