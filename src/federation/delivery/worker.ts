/**
 * Brings what is in the outbox to its destinations: one delivery to each, a bounded number at a time, until each says 200
 * or has been away for too long. https://spec.matrix.org/latest/server-server-api/#transactions
 */
import { setMaxListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { within } from '../../concurrency/within.ts'
import type { DeliveryQueue, OutgoingTransaction } from '../../knock/ports/deliveries.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import { createClockWatch } from './clock-watch.ts'
import { createDelivery, type DeliveryObserver, type DeliveryOptions } from './delivery.ts'
import { createDeliveryLanes } from './lanes.ts'
import { createSignsOfLife } from './signs-of-life.ts'
import type { TransactionSender } from './transaction.ts'

export interface DeliveryWorkerOptions extends Partial<DeliveryOptions> {
  readonly queue: DeliveryQueue
  readonly sender: TransactionSender
  readonly clock: Clock
  /** Milliseconds that only ever pass, from any start. Default: those of the process. */
  readonly uptime?: () => number
  /** Uniform in [0, 1): spreads retries. */
  readonly random: () => number
  readonly observer: DeliveryObserver
  /** Deliveries at a time that have just begun, or go to servers that lag. Default 32. */
  readonly maxParallel?: number
}

export interface DeliveryWorker {
  start(): void
  /** The server gave a sign of life: what waits for it after failures is tried again soon. Costs next to nothing. */
  heardFrom(server: ServerName): void
  /** Begins no more deliveries, waits for those under way, then breaks them off. @param drainMs milliseconds to wait */
  stop(drainMs: number): Promise<void>
}

/** Other processes can write to the store: the queue is looked at even if nobody calls. */
const POLL_MS = 1_000
/** Signs of life are taken up together. */
const GATHER_MS = 100
/** Shorter waits are not worth a look of their own. */
const SOON_MS = 20
const AFTER_QUEUE_FAILURE_MS = 1_000
const AFTER_BREAK_OFF_MS = 1_000
/** Destinations in one call of the queue: each can bring half a megabyte. */
const CLAIMED_AT_ONCE = 32

export function createDeliveryWorker(options: DeliveryWorkerOptions): DeliveryWorker {
  const { queue, clock, observer, uptime = () => performance.now(), maxParallel = 32 } = options
  const breakOff = new AbortController()
  const lanes = createDeliveryLanes({ maxParallel, uptime, onFree: () => wake() })
  // One listener for each delivery: Node takes more than ten for a leak.
  setMaxListeners(2 * lanes.most, breakOff.signal)
  const delivery = createDelivery({ ...options, uptime }, breakOff.signal)
  const underWay = new Set<Promise<void>>()
  const signs = createSignsOfLife()
  const watch = createClockWatch(clock, uptime)
  let running = false
  let scheduling: Promise<void> | undefined
  let again = false
  /** When the queue was asked last what is due, by the clock. */
  let lookedAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let gathering: NodeJS.Timeout | undefined

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
        await mindClock()
        const alive = signs.take()
        if (alive.length > 0) await queue.resume(alive)
        if (await queue.expand()) again = true
        if (await openLanes()) again = true
        wait = await untilNext()
      } catch (error) {
        observer.fault(error)
        wait = AFTER_QUEUE_FAILURE_MS
        again = false
      }
    }
    if (running && !again) timer = setTimeout(wake, wait)
  }

  /** Nobody waits longer for a clock that went back than for one that goes right. */
  async function mindClock(): Promise<void> {
    const change = watch.look()
    if (change === 'unknown' || change === 'ahead') delivery.distrustAges()
    if (change === 'unknown' || change === 'back') await queue.boundWaits(clock() + delivery.longestWaitMs)
  }

  /** @returns whether more may be due */
  async function openLanes(): Promise<boolean> {
    const free = Math.min(lanes.free(), CLAIMED_AT_ONCE)
    if (free <= 0) return false
    lookedAt = clock()
    const claimed = await queue.claim(lookedAt, free, lanes.freeForLagging())
    for (const transaction of claimed) {
      if (running) open(transaction)
      else await queue.release(transaction.destination, transaction.txnId)
      // Each signs, and shakes hands: between two of them requests get their turn.
      await turn()
    }
    return claimed.length === free
  }

  function open(transaction: OutgoingTransaction): void {
    const { attempts, slow, events } = transaction
    const bytes = events.reduce((sum, { json }) => sum + json.length, 0)
    const lane = lanes.open({ lagging: attempts > 0 || slow, bytes })
    const done = delivery.deliver(transaction, lane).finally(() => {
      lane.close()
      underWay.delete(done)
      wake()
      // The queue names the one that is due longest: that may be one that lags and has no lane.
      if (lane.untilTurn() > 0) setTimeout(wake, lane.untilTurn()).unref()
    })
    underWay.add(done)
  }

  async function untilNext(): Promise<number> {
    if (lanes.free() <= 0) return POLL_MS
    const next = await queue.nextDue()
    // What was due at the last look and was not given has its reasons: the lanes for those that lag are taken.
    if (next === undefined || next <= lookedAt) return POLL_MS
    return Math.min(Math.max(next - clock(), SOON_MS), POLL_MS)
  }

  queue.onEnqueued(wake)
  return {
    start() {
      running = true
      wake()
    },
    heardFrom(server) {
      if (running && signs.note(server)) gathering = setTimeout(wake, GATHER_MS)
    },
    async stop(drainMs) {
      running = false
      clearTimeout(timer)
      clearTimeout(gathering)
      const settled = async () => {
        await scheduling
        await Promise.all(underWay)
      }
      await within(drainMs, settled())
      breakOff.abort()
      await within(AFTER_BREAK_OFF_MS, settled())
    },
  }
}
