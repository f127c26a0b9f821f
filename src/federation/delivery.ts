/** One delivery from its claim to the record of its outcome. https://spec.matrix.org/latest/server-server-api/#transactions */
import { setTimeout as pause } from 'node:timers/promises'
import type { DeliveryQueue, OutgoingTransaction } from '../knock/delivery-ports.ts'
import type { Clock } from '../knock/ports.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import { createBackoff } from './backoff.ts'
import type { DeliveryResult, TransactionSender } from './transaction.ts'

/** What is told about the work. Calls must not throw. */
export interface DeliveryObserver {
  delivered(destination: ServerName, events: number): void
  /** @param attempts failures since the destination last answered 200 */
  failed(destination: ServerName, attempts: number, reason: string): void
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
  deliver(transaction: OutgoingTransaction): Promise<void>
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

type Failed = Extract<DeliveryResult, { kind: 'failed' }>

/** @param breakOff the end of the process: deliveries end without a verdict */
export function createDelivery(ports: DeliveryPorts, breakOff: AbortSignal): Delivery {
  const { queue, sender, clock, uptime, random, observer } = ports
  const { timeoutMs = 60_000, firstBackoffMs = 2_000, maxBackoffMs = 3_600_000, giveUpMs = 7 * DAY_MS } = ports
  const backoff = createBackoff({ firstMs: firstBackoffMs, mostMs: maxBackoffMs, random })
  let agesCountFrom = uptime()

  async function attempt(transaction: OutgoingTransaction): Promise<DeliveryResult> {
    const ending = new AbortController()
    const end = () => ending.abort()
    // The deadline is an instant of a clock that can be set meanwhile; this is not.
    const timer = setTimeout(end, timeoutMs + AFTER_DEADLINE_MS)
    breakOff.addEventListener('abort', end)
    if (breakOff.aborted) end()
    try {
      return await sender.send(transaction, clock() + timeoutMs, ending.signal)
    } catch (error) {
      observer.fault(error)
      return { kind: 'failed', reason: 'the delivery broke: see the log' }
    } finally {
      clearTimeout(timer)
      breakOff.removeEventListener('abort', end)
    }
  }

  async function recordFailure({ destination, txnId, attempts, oldestAt }: OutgoingTransaction, result: Failed) {
    const failure = backoff(result, attempts, clock())
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
    async deliver(transaction) {
      const { destination, txnId, events } = transaction
      const result = await attempt(transaction)
      if (result.kind === 'delivered') {
        if (await recorded(() => queue.delivered(destination, txnId))) observer.delivered(destination, events.length)
      } else if (breakOff.aborted) {
        await recorded(() => queue.release(destination, txnId))
      } else {
        await recordFailure(transaction, result)
      }
    },
  }
}
