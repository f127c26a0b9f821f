import { afterEach, describe, expect, it, vi } from 'vitest'
import { createDeliveryWorker, type DeliveryWorker } from '../../src/federation/delivery-worker.ts'
import type { DeliveryResult, TransactionSender } from '../../src/federation/transaction.ts'
import type { OutgoingTransaction } from '../../src/knock/ports.ts'
import { createTestOutbox } from './outbox-fixture.ts'

interface Attempt {
  readonly transaction: OutgoingTransaction
  readonly startedAt: number
  readonly deadline: number
  readonly signal: AbortSignal
  finish(result: DeliveryResult): void
}

const DELIVERED = { kind: 'delivered' } as const
const failure = (retryAfterMs?: number): DeliveryResult => ({
  kind: 'failed',
  reason: 'no',
  ...(retryAfterMs !== undefined && { retryAfterMs }),
})

describe('delivery worker', () => {
  let worker: DeliveryWorker | undefined
  afterEach(() => worker?.stop(0))

  function build(options: { maxParallel?: number; answer?: DeliveryResult; random?: number } = {}) {
    const time = { ahead: 0 }
    const clock = () => Date.now() + time.ahead
    const outbox = createTestOutbox(clock)
    const attempts: Attempt[] = []
    const errors: unknown[] = []
    const sender: TransactionSender = {
      send: (transaction, startedAt, deadline, signal) =>
        new Promise((resolve) => {
          const finish = (result: DeliveryResult) => {
            signal.removeEventListener('abort', brokenOff)
            resolve(result)
          }
          const brokenOff = () => finish(failure())
          signal.addEventListener('abort', brokenOff)
          attempts.push({ transaction, startedAt, deadline, signal, finish })
          if (options.answer !== undefined) finish(options.answer)
        }),
    }
    const observer = { delivered: () => {}, failed: () => {}, queueFailed: (error: unknown) => errors.push(error) }
    worker = createDeliveryWorker({
      queue: outbox,
      sender,
      clock,
      random: () => options.random ?? 0,
      observer,
      maxParallel: options.maxParallel ?? 4,
    })
    worker.start()
    return { outbox, attempts, errors, clock, time, worker }
  }

  const until = (condition: () => void) => vi.waitFor(condition, { timeout: 5000, interval: 5 })
  const moment = () => new Promise((resolve) => setTimeout(resolve, 50))

  it('G3 what is enqueued is sent at once and reported', async () => {
    const { outbox } = build({ answer: DELIVERED })
    const start = Date.now()
    const id = outbox.add('a.test')
    await until(() => expect(outbox.log).toEqual([`delivered a.test ${id}`]))
    expect(Date.now() - start).toBeLessThan(1000)
  })

  it('G3 what waited from before the start is sent too', async () => {
    const { outbox, worker } = build({ answer: DELIVERED })
    await worker.stop(0)
    outbox.add('a.test')
    const second = createDeliveryWorker({
      queue: outbox,
      sender: { send: async () => DELIVERED },
      clock: Date.now,
      random: Math.random,
      observer: { delivered: () => {}, failed: () => {}, queueFailed: () => {} },
    })
    second.start()
    await until(async () => expect(await outbox.waiting()).toBe(0))
    await second.stop(0)
  })

  it('G3 one destination never has two transactions under way, and they keep their order', async () => {
    const { outbox, attempts } = build()
    const first = outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(1))
    const second = outbox.add('a.test')
    await moment()
    expect(attempts).toHaveLength(1)
    attempts[0]?.finish(DELIVERED)
    await until(() => expect(attempts).toHaveLength(2))
    attempts[1]?.finish(DELIVERED)
    await until(() => expect(outbox.log).toEqual([`delivered a.test ${first}`, `delivered a.test ${second}`]))
  })

  it('G3 destinations are served side by side, a bounded number at a time', async () => {
    const { outbox, attempts } = build({ maxParallel: 2 })
    outbox.add('a.test', 'b.test', 'c.test', 'd.test', 'e.test')
    await until(() => expect(attempts).toHaveLength(2))
    await moment()
    expect(attempts).toHaveLength(2)
    attempts[0]?.finish(DELIVERED)
    await until(() => expect(attempts).toHaveLength(3))
    await moment()
    expect(attempts).toHaveLength(3)
  })

  it('G3 a transaction that failed is sent again, the same in all, after waits that double up to an hour', async () => {
    const { outbox, attempts, time, clock } = build({ answer: failure(), random: 0.9999 })
    outbox.add('a.test')
    const waits: number[] = []
    while (waits.length < 14) {
      await until(() => expect(outbox.log).toHaveLength(waits.length + 1))
      waits.push(Math.round(((outbox.retryAt.get('a.test') ?? 0) - clock()) / 1000))
      time.ahead += (waits.at(-1) ?? 0) * 1000 + 1000
      outbox.poke()
    }
    expect(waits.slice(0, 5)).toEqual([2, 4, 8, 16, 32])
    expect(waits.at(-1)).toBe(3600)
    expect(new Set(attempts.map(({ transaction }) => transaction.txnId)).size).toBe(1)
    expect(new Set(attempts.map(({ startedAt }) => startedAt)).size).toBe(1)
  })

  it('G3 chance halves a wait at most', async () => {
    const { outbox, clock } = build({ answer: failure(), random: 0 })
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    expect(Math.round(((outbox.retryAt.get('a.test') ?? 0) - clock()) / 100)).toBe(10)
  })

  it('G3 the next attempt falls due at a whole millisecond, as queues keep it', async () => {
    const { outbox } = build({ answer: failure(), random: 0.1234567 })
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    expect(outbox.retryAt.get('a.test')).toSatisfy(Number.isInteger)
  })

  it('G3 Retry-After is waited for where it is longer', async () => {
    const { outbox, clock } = build({ answer: failure(90_000) })
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    expect(Math.round(((outbox.retryAt.get('a.test') ?? 0) - clock()) / 1000)).toBe(90)
  })

  it('G3 a destination that hangs delays no other that falls due meanwhile', async () => {
    const { outbox, attempts } = build()
    outbox.add('hang.test')
    await until(() => expect(attempts).toHaveLength(1))
    outbox.add('b.test')
    await until(() => expect(attempts.map(({ transaction }) => transaction.destination)).toContain('b.test'))
  })

  it('G3 one delivery has 60 seconds', async () => {
    const { outbox, attempts, clock } = build()
    outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(1))
    expect(Math.round(((attempts[0]?.deadline ?? 0) - clock()) / 1000)).toBe(60)
  })

  it('a queue that fails is reported and tried again, without a busy loop', async () => {
    const { outbox, errors } = build({ answer: DELIVERED })
    outbox.fault = new Error('no store')
    outbox.add('a.test')
    await until(() => expect(errors.length).toBeGreaterThan(0))
    await moment()
    expect(errors.length).toBeLessThan(5)
    outbox.fault = undefined
    await until(async () => expect(await outbox.waiting()).toBe(0))
  })

  it('G3 stopping waits for what is under way, begins nothing, then breaks it off without a verdict', async () => {
    const { outbox, attempts, worker } = build()
    const id = outbox.add('a.test', 'b.test')
    await until(() => expect(attempts).toHaveLength(2))
    const stopped = worker.stop(200)
    outbox.add('c.test')
    attempts.find(({ transaction }) => transaction.destination === 'a.test')?.finish(DELIVERED)
    await stopped
    expect(attempts).toHaveLength(2)
    expect(outbox.log).toEqual([`delivered a.test ${id}`])
    expect(await outbox.waiting()).toBe(2)
  })
})
