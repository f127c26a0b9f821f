/** One delivery from its claim to the record of its outcome. https://spec.matrix.org/latest/server-server-api/#transactions */
import { setTimeout as pause } from 'node:timers/promises'
import type { DeliveryQueue, OutgoingTransaction, Pace } from '../../knock/ports/deliveries.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import type { EventId, ServerName } from '../../matrix/identifiers.ts'
import { createBackoff } from './backoff.ts'
import type { Lane } from './lanes.ts'
import type { DeliveryResult, TransactionSender } from './transaction.ts'

/** What is told about the work. Calls must not throw. */
export interface DeliveryObserver {
  delivered(destination: ServerName, events: number): void
  /** @param attempts failures since the destination last answered 200 */
  failed(destination: ServerName, attempts: number, reason: string): void
  /** A transaction was refused for good: half of its events go out next. @param events of the transaction */
  halved(destination: ServerName, events: number, reason: string): void
  /** An event was dropped for a destination that refuses it. */
  refused(destination: ServerName, eventId: EventId, reason: string): void
  /** Events were dropped, having waited for too long. @param oldestAt when the oldest was enqueued */
  gaveUp(destination: ServerName, events: number, oldestAt: number): void
  /** The queue failed, or a delivery broke for no reason of its destination: it is tried again. */
  fault(error: unknown): void
}

export interface DeliveryOptions {
  /** Longest time for one delivery, in milliseconds. Default 60,000. */
  readonly timeoutMs: number
  /** Wait after a first failure; it doubles with each. Milliseconds, default 2,000. */
  readonly firstBackoffMs: number
  /** Longest wait between attempts, whatever the destination asks for. Milliseconds, default one hour. */
  readonly maxBackoffMs: number
  /** Events that waited longer are dropped. Milliseconds, default seven days. */
  readonly giveUpMs: number
}

export interface DeliveryPorts extends Partial<DeliveryOptions> {
  readonly queue: DeliveryQueue
  readonly sender: TransactionSender
  readonly clock: Clock
  readonly uptime: () => number
  readonly random: () => number
  readonly observer: DeliveryObserver
}

export interface Delivery {
  readonly longestWaitMs: number
  /** Sends a claimed transaction once, and ends the claim. Never rejects. */
  deliver(transaction: OutgoingTransaction, lane: Lane): Promise<void>
  /**
   * The clock may have gone ahead, or stood still for the program: for the longest wait from now nothing is given up,
   * so that every destination is tried once more.
   */
  distrustAges(): void
}

const AFTER_QUEUE_FAILURE_MS = 1_000
/** A sender that keeps to its deadline can say more than that it was ended. */
const AFTER_DEADLINE_MS = 1_000
const DAY_MS = 86_400_000
/** Who took longer than this lags behind others from then on. */
const SLOW_MS = 5_000
/** An event that stands alone is dropped when it was refused so often by a server that refuses everything else, too. */
const MOST_REFUSALS = 3

type Failed = Extract<DeliveryResult, { kind: 'failed' }>
type Refused = Extract<DeliveryResult, { kind: 'refused' }>

/** @param breakOff the end of the process: deliveries end without a verdict */
export function createDelivery(ports: DeliveryPorts, breakOff: AbortSignal): Delivery {
  const { queue, sender, clock, uptime, random, observer } = ports
  const { timeoutMs = 60_000, firstBackoffMs = 2_000, maxBackoffMs = 3_600_000, giveUpMs = 7 * DAY_MS } = ports
  const backoff = createBackoff({ firstMs: firstBackoffMs, mostMs: maxBackoffMs, random })
  let agesCountFrom = uptime()

  /** @param msLeft longest time for it */
  async function attempt(transaction: OutgoingTransaction, lane: Lane, msLeft = timeoutMs): Promise<DeliveryResult> {
    const ending = new AbortController()
    const end = () => ending.abort()
    // The deadline is an instant of a clock that can be set meanwhile; this is not.
    const timer = setTimeout(end, msLeft + AFTER_DEADLINE_MS)
    const signals = [breakOff, lane.signal]
    for (const signal of signals) signal.addEventListener('abort', end)
    if (signals.some(({ aborted }) => aborted)) end()
    try {
      const result = await sender.send(transaction, clock() + msLeft, ending.signal, lane.enter)
      if (result.kind === 'delivered' || !lane.signal.aborted) return result
      return { kind: 'failed', reason: 'ended early: it took long, and others needed its place' }
    } catch (error) {
      observer.fault(error)
      return { kind: 'failed', reason: 'the delivery broke: see the log' }
    } finally {
      clearTimeout(timer)
      for (const signal of signals) signal.removeEventListener('abort', end)
    }
  }

  /** One of the events is to blame: which one shows by halves. */
  async function recordRefusal(transaction: OutgoingTransaction, { reason }: Refused, lane: Lane, started: number) {
    const { destination, txnId, events } = transaction
    const [event] = events
    if (events.length > 1) {
      if (await recorded(() => queue.halve(destination, txnId, reason, paceSince(started)))) {
        observer.halved(destination, events.length, reason)
      }
    } else if (event === undefined) await recordFailure(transaction, { reason })
    else if (await takesOthers(transaction, lane, started)) {
      if (await recorded(() => queue.delivered(destination, txnId, paceSince(started)))) {
        observer.refused(destination, event.eventId, reason)
      }
    } else if (breakOff.aborted) await recorded(() => queue.release(destination, txnId))
    else await recordRefusalOfAll(transaction, event.eventId, reason)
  }

  /** Whether a server that refused an event alone takes a transaction without any: then it is the event. */
  async function takesOthers(transaction: OutgoingTransaction, lane: Lane, started: number): Promise<boolean> {
    const { txnId, refusals } = transaction
    const empty = { ...transaction, txnId: `${txnId}x${refusals}`, events: [] }
    const msLeft = timeoutMs - (uptime() - started)
    return msLeft > 0 && (await attempt(empty, lane, msLeft)).kind === 'delivered'
  }

  /** The server may be out of order: it is given time before each of the refusals that count. */
  async function recordRefusalOfAll(transaction: OutgoingTransaction, eventId: EventId, reason: string) {
    const { destination, refusals } = transaction
    await recordFailure(transaction, { reason }, true)
    if (refusals + 1 < MOST_REFUSALS) return
    await recorded(async () => {
      if (await queue.dropEvent(destination, eventId)) observer.refused(destination, eventId, reason)
    })
  }

  const paceSince = (started: number): Pace => (uptime() - started < SLOW_MS ? 'quick' : 'slow')

  async function recordFailure(
    { destination, txnId, attempts, oldestAt }: OutgoingTransaction,
    result: Omit<Failed, 'kind'>,
    refused = false,
  ) {
    const failure = { ...backoff(result, attempts, clock()), ...(refused && { refused }) }
    if (!(await recorded(() => queue.failed(destination, txnId, failure)))) return
    observer.failed(destination, attempts + 1, failure.reason)
    const before = clock() - giveUpMs
    if (oldestAt >= before || uptime() < agesCountFrom) return
    await recorded(async () => {
      const events = await queue.drop(destination, before)
      if (events > 0) observer.gaveUp(destination, events, oldestAt)
    })
  }

  /** Tries until the queue takes it: what is known now must not be sent again. @returns whether it did */
  async function recorded(record: () => Promise<void>): Promise<boolean> {
    for (;;) {
      try {
        await record()
        return true
      } catch (error) {
        observer.fault(error)
      }
      await pause(AFTER_QUEUE_FAILURE_MS, undefined, { signal: breakOff }).catch(() => {})
      // The claim ends with the process.
      if (breakOff.aborted) return false
    }
  }

  return {
    longestWaitMs: maxBackoffMs,
    distrustAges() {
      agesCountFrom = uptime() + Math.min(maxBackoffMs, giveUpMs)
    },
    async deliver(transaction, lane) {
      const { destination, txnId, events } = transaction
      const started = uptime()
      const result = await attempt(transaction, lane)
      if (result.kind === 'delivered') {
        const pace = paceSince(started)
        if (await recorded(() => queue.delivered(destination, txnId, pace)))
          observer.delivered(destination, events.length)
      } else if (breakOff.aborted) {
        await recorded(() => queue.release(destination, txnId))
      } else if (result.kind === 'busy') {
        await recorded(() => queue.release(destination, txnId, Math.ceil(clock() + lane.untilTurn())))
      } else if (result.kind === 'refused') {
        await recordRefusal(transaction, result, lane, started)
      } else {
        await recordFailure(transaction, result)
      }
    },
  }
}
