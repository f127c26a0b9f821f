/**
 * Brings what is in the outbox to its destinations: one lane for each, a bounded number at a time, until each says 200.
 * https://spec.matrix.org/latest/server-server-api/#transactions
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock, DeliveryQueue, OutgoingTransaction } from '../knock/ports.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import { within } from '../waiting/within.ts'
import type { DeliveryResult, TransactionSender } from './transaction.ts'

/** What the worker tells about its work. Calls must not throw. */
export interface DeliveryObserver {
  delivered(destination: ServerName, events: number): void
  failed(destination: ServerName, attempts: number, reason: string): void
  /** The queue itself failed: the worker tries again in a second. */
  queueFailed(error: unknown): void
}

export interface DeliveryWorkerOptions {
  readonly queue: DeliveryQueue
  readonly sender: TransactionSender
  readonly clock: Clock
  /** Uniform in [0, 1): spreads retries. */
  readonly random: () => number
  readonly observer: DeliveryObserver
  /** Destinations at a time. Default 32. */
  readonly maxParallel?: number
  /** Longest time for one delivery, in milliseconds. Default 60,000. */
  readonly timeoutMs?: number
  /** Wait after a first failure; it doubles with each. Milliseconds, default 2,000. */
  readonly firstBackoffMs?: number
  /** Longest wait between attempts, in milliseconds. Default one hour. */
  readonly maxBackoffMs?: number
}

export interface DeliveryWorker {
  start(): void
  /** Begins no more deliveries, waits for those under way, then breaks them off. @param drainMs milliseconds to wait */
  stop(drainMs: number): Promise<void>
}

/** Another process can write to the store: the queue is looked at even if nobody calls. */
const POLL_MS = 5_000
const AFTER_QUEUE_FAILURE_MS = 1_000
const AFTER_BREAK_OFF_MS = 1_000

export function createDeliveryWorker(options: DeliveryWorkerOptions): DeliveryWorker {
  const { queue, sender, clock, random, observer } = options
  const { maxParallel = 32, timeoutMs = 60_000, firstBackoffMs = 2_000, maxBackoffMs = 3_600_000 } = options
  const lanes = new Map<ServerName, Promise<void>>()
  const breakOff = new AbortController()
  // One listener for each lane: Node takes more than ten for a leak.
  setMaxListeners(2 * maxParallel, breakOff.signal)
  let running = false
  let scheduling: Promise<void> | undefined
  let again = false
  let timer: NodeJS.Timeout | undefined

  function wake(): void {
    again = true
    if (!running || scheduling !== undefined) return
    clearTimeout(timer)
    scheduling = schedule().finally(() => {
      scheduling = undefined
      // A call that came after the last look, but before this line.
      if (again) wake()
    })
  }

  /** Opens lanes while there is something due, then sets the timer for the next look. */
  async function schedule(): Promise<void> {
    let wait = POLL_MS
    while (running && again) {
      again = false
      try {
        if (await queue.expand()) again = true
        await openLanes()
        wait = await untilNext()
      } catch (error) {
        observer.queueFailed(error)
        wait = AFTER_QUEUE_FAILURE_MS
        again = false
      }
    }
    if (running && !again) timer = setTimeout(wake, wait)
  }

  async function openLanes(): Promise<void> {
    const free = maxParallel - lanes.size
    if (free <= 0) return
    const claimed = await queue.claim(clock(), free)
    if (claimed.length === free) again = true
    for (const transaction of claimed) open(transaction)
  }

  function open(transaction: OutgoingTransaction): void {
    const { destination } = transaction
    const lane = deliver(transaction)
      .catch(async (error) => {
        observer.queueFailed(error)
        // The lane stays closed for a moment where the queue did not take the result, so that it is no busy loop.
        await pause(AFTER_QUEUE_FAILURE_MS, undefined, { signal: breakOff.signal }).catch(() => {})
        await queue.release(destination, transaction.txnId).catch(observer.queueFailed)
      })
      .then(() => {
        lanes.delete(destination)
        wake()
      })
    lanes.set(destination, lane)
  }

  async function untilNext(): Promise<number> {
    if (lanes.size >= maxParallel) return POLL_MS
    const next = await queue.nextDue()
    if (next === undefined) return POLL_MS
    return Math.min(Math.max(next - clock(), 0), POLL_MS)
  }

  async function deliver(transaction: OutgoingTransaction): Promise<void> {
    const { destination, txnId, startedAt, events, attempts } = transaction
    const result = await sender.send(transaction, startedAt, clock() + timeoutMs, breakOff.signal)
    // Broken off at the end of the process: nothing is known.
    if (breakOff.signal.aborted && result.kind === 'failed') return queue.release(destination, txnId)
    if (result.kind === 'delivered') {
      await queue.delivered(destination, txnId)
      observer.delivered(destination, events.length)
      return
    }
    const { reason } = result
    const retryAt = clock() + waitAfter(attempts, result)
    await queue.failed(destination, txnId, { retryAt, reason })
    observer.failed(destination, attempts + 1, reason)
  }

  /** Half of the wait is certain, half is chance, so that destinations that failed together do not return together. */
  function waitAfter(attempts: number, { retryAfterMs = 0 }: Extract<DeliveryResult, { kind: 'failed' }>): number {
    const full = Math.min(firstBackoffMs * 2 ** Math.min(attempts, 30), maxBackoffMs)
    // Whole milliseconds: the queue keeps instants as integers.
    return Math.ceil(Math.max(full / 2 + (random() * full) / 2, retryAfterMs))
  }

  queue.onEnqueued(wake)
  return {
    start() {
      running = true
      wake()
    },
    async stop(drainMs) {
      running = false
      clearTimeout(timer)
      const settled = () => Promise.all([scheduling, ...lanes.values()])
      await within(drainMs, settled())
      breakOff.abort()
      await within(AFTER_BREAK_OFF_MS, settled())
    },
  }
}
