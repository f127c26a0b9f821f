/** The delivery worker on an outbox in memory, with deliveries that end as the test says and time that passes at will. */
import { vi } from 'vitest'
import type { DeliveryObserver } from '../../../src/federation/delivery/delivery.ts'
import type { DeliveryResult, TransactionSender } from '../../../src/federation/delivery/transaction.ts'
import { createDeliveryWorker, type DeliveryWorker } from '../../../src/federation/delivery/worker.ts'
import type { OutgoingTransaction } from '../../../src/knock/ports/deliveries.ts'
import { createTestOutbox, type TestOutbox } from './outbox-fixture.ts'

export interface Attempt {
  readonly transaction: OutgoingTransaction
  readonly deadline: number
  readonly signal: AbortSignal
  finish(result: DeliveryResult): void
}

export interface WorkerOptions {
  readonly maxParallel?: number
  /** Every delivery ends so at once; otherwise the test ends each. */
  readonly answer?: (transaction: OutgoingTransaction) => DeliveryResult | undefined
  /** Where a destination is; everywhere where left out. */
  readonly addressOf?: (destination: string) => string
  readonly random?: number
  readonly giveUpMs?: number
  readonly timeoutMs?: number
}

export interface WorkerStage {
  readonly outbox: TestOutbox
  readonly attempts: readonly Attempt[]
  /** Most deliveries that were under way at a time. */
  mostAtOnce(): number
  readonly reports: {
    readonly gaveUp: { readonly destination: string; readonly events: number; readonly oldestAt: number }[]
    /** `a.test 4: reason` for each transaction that was halved. */
    readonly halved: string[]
    /** `a.test $1: reason` for each event that was dropped, being refused. */
    readonly refused: string[]
    readonly faults: unknown[]
  }
  readonly worker: DeliveryWorker
  clock(): number
  /** Time passes, in milliseconds, and the worker looks. */
  pass(ms: number): void
  /** Somebody sets the clock, and the worker looks. */
  setClock(ms: number): void
  /** Another worker on the same outbox. */
  another(): DeliveryWorker
}

export const DELIVERED = { kind: 'delivered' } as const
export const MINUTE = 60_000
export const HOUR = 60 * MINUTE

export function failure(retryAfterMs?: number): DeliveryResult {
  return { kind: 'failed', reason: 'no', ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

export const until = (condition: () => void | Promise<void>) => vi.waitFor(condition, { timeout: 4_000, interval: 5 })

/** Long enough for anything that would happen at once. */
export const moment = () => new Promise((resolve) => setTimeout(resolve, 50))

/** Builds and starts a worker. Stop it after the test. */
export function startWorker(options: WorkerOptions = {}): WorkerStage {
  const time = { passed: 0, set: 0 }
  const clock = () => Date.now() + time.passed + time.set
  const outbox = createTestOutbox(clock)
  const attempts: Attempt[] = []
  const reports: WorkerStage['reports'] = { gaveUp: [], halved: [], refused: [], faults: [] }
  let underWay = 0
  let most = 0
  const sender: TransactionSender = {
    async send(transaction, deadline, signal, enter) {
      const address = options.addressOf?.(transaction.destination)
      if (address !== undefined && enter?.(address) === false) return { kind: 'busy' }
      most = Math.max(most, ++underWay)
      const ended = new Promise<DeliveryResult>((resolve) => {
        attempts.push({ transaction, deadline, signal, finish: resolve })
        signal.addEventListener('abort', () => resolve({ kind: 'failed', reason: 'ended early' }))
      })
      const answered = options.answer?.(transaction)
      const result = answered ?? (await ended)
      underWay--
      return result
    },
  }
  const observer: DeliveryObserver = {
    delivered: () => {},
    failed: () => {},
    halved: (destination, events, reason) => reports.halved.push(`${destination} ${events}: ${reason}`),
    refused: (destination, eventId, reason) => reports.refused.push(`${destination} ${eventId}: ${reason}`),
    gaveUp: (destination, events, oldestAt) => reports.gaveUp.push({ destination, events, oldestAt }),
    fault: (error) => reports.faults.push(error),
  }
  const another = () =>
    createDeliveryWorker({
      ...{ queue: outbox, sender, clock, observer, random: () => options.random ?? 0 },
      uptime: () => performance.now() + time.passed,
      maxParallel: options.maxParallel ?? 4,
      ...(options.giveUpMs !== undefined && { giveUpMs: options.giveUpMs }),
      ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
    })
  const worker = another()
  worker.start()
  return {
    ...{ outbox, attempts, mostAtOnce: () => most, reports, worker, clock, another },
    pass(ms) {
      time.passed += ms
      outbox.poke()
    },
    setClock(ms) {
      time.set += ms
      outbox.poke()
    },
  }
}
