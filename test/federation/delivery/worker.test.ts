import { afterEach, describe, expect, it } from 'vitest'
import type { DeliveryResult } from '../../../src/federation/delivery/transaction.ts'
import { DELIVERED, failure, MINUTE, moment, startWorker, until, type WorkerOptions } from './worker-fixture.ts'

describe('delivery worker', () => {
  let started: ReturnType<typeof startWorker> | undefined
  afterEach(() => started?.worker.stop(0))

  function build(options: WorkerOptions = {}) {
    started = startWorker(options)
    return started
  }

  it('G3 what is enqueued is sent at once and reported', async () => {
    const { outbox } = build({ answer: () => DELIVERED })
    const start = Date.now()
    const id = outbox.add('a.test')
    await until(() => expect(outbox.log).toEqual([`delivered a.test ${id}`]))
    expect(Date.now() - start).toBeLessThan(1000)
  })

  it('G3 what waited from before the start is sent too', async () => {
    const { outbox, worker, another } = build({ answer: () => DELIVERED })
    await worker.stop(0)
    outbox.add('a.test')
    const second = another()
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

  it('G3 two workers on one queue never send to one destination at a time', async () => {
    const { outbox, attempts, another } = build({ maxParallel: 2 })
    const second = another()
    second.start()
    outbox.add('a.test', 'b.test', 'c.test')
    await until(() => expect(attempts).toHaveLength(3))
    outbox.add('a.test', 'b.test', 'c.test')
    await moment()
    expect(attempts.map(({ transaction }) => transaction.destination).sort()).toEqual(['a.test', 'b.test', 'c.test'])
    for (const { finish } of attempts) finish(DELIVERED)
    await until(() => expect(attempts).toHaveLength(6))
    await second.stop(0)
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

  it('G3 a destination that hangs delays no other that falls due meanwhile', async () => {
    const { outbox, attempts } = build()
    outbox.add('hang.test')
    await until(() => expect(attempts).toHaveLength(1))
    outbox.add('b.test')
    await until(() => expect(attempts.map(({ transaction }) => transaction.destination)).toContain('b.test'))
  })

  it('G3 destinations that hang whenever they are tried leave half of the lanes to the others', async () => {
    const hanging = Array.from({ length: 10 }, (_, at) => `hang${at}.test`)
    let broken = true
    const answer = ({ destination }: { destination: string }): DeliveryResult | undefined => {
      if (!destination.startsWith('hang')) return DELIVERED
      return broken ? failure() : undefined
    }
    const { outbox, attempts, pass } = build({ maxParallel: 4, answer })
    outbox.add(...hanging)
    await until(() => expect(outbox.log).toHaveLength(10))
    broken = false
    pass(MINUTE)
    await until(() => expect(attempts).toHaveLength(12))
    const start = Date.now()
    const id = outbox.add('healthy.test')
    await until(() => expect(outbox.log).toContain(`delivered healthy.test ${id}`))
    expect(Date.now() - start).toBeLessThan(1_000)
    expect(attempts).toHaveLength(13)
  })

  it('G3 one delivery has 60 seconds', async () => {
    const { outbox, attempts, clock } = build()
    outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(1))
    expect(Math.round(((attempts[0]?.deadline ?? 0) - clock()) / 1000)).toBe(60)
  })

  it('G3 a delivery whose sender does not come back is broken off, whatever the clock says', async () => {
    const { outbox, attempts, setClock } = build({ timeoutMs: 100 })
    const id = outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(1))
    setClock(-365 * 24 * 60 * MINUTE)
    await until(() => expect(outbox.log).toEqual([`failed a.test ${id}: ended early`]))
  })

  it('a queue that fails is reported and tried again, without a busy loop', async () => {
    const { outbox, reports } = build({ answer: () => DELIVERED })
    outbox.fault = new Error('no store')
    outbox.add('a.test')
    await until(() => expect(reports.faults.length).toBeGreaterThan(0))
    await moment()
    expect(reports.faults.length).toBeLessThan(5)
    outbox.fault = undefined
    await until(async () => expect(await outbox.waiting()).toBe(0))
  })

  it('G3 what arrived is not sent again because the queue could not record it', async () => {
    const { outbox, attempts, reports } = build()
    const id = outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(1))
    outbox.fault = new Error('disk full')
    attempts[0]?.finish(DELIVERED)
    await until(() => expect(reports.faults.length).toBeGreaterThan(0))
    outbox.fault = undefined
    await until(() => expect(outbox.log).toEqual([`delivered a.test ${id}`]))
    expect(attempts).toHaveLength(1)
  })

  it('a sender that throws is reported, and its destination waits like any that failed', async () => {
    const answer = () => {
      throw new Error('a bug')
    }
    const { outbox, reports, attempts } = build({ answer })
    const id = outbox.add('a.test')
    await until(() => expect(outbox.log).toEqual([`failed a.test ${id}: the delivery broke: see the log`]))
    await moment()
    expect(reports.faults).toHaveLength(1)
    expect(attempts).toHaveLength(1)
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

  it('G3 stopping gives back what was claimed and not begun', async () => {
    const { outbox, attempts, worker, clock } = build()
    await moment()
    const { claim } = outbox
    let stopped: Promise<void> | undefined
    outbox.claim = async (...wanted) => {
      const claimed = await claim(...wanted)
      stopped ??= worker.stop(1_000)
      return claimed
    }
    outbox.add('a.test', 'b.test')
    await until(() => expect(stopped).toBeDefined())
    await stopped
    expect(attempts).toEqual([])
    expect(await claim(clock(), 10)).toHaveLength(2)
  })

  it('G3 what was broken off is sent again, the same in all', async () => {
    const { outbox, attempts, worker, another } = build()
    outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(1))
    await worker.stop(0)
    const second = another()
    second.start()
    await until(() => expect(attempts).toHaveLength(2))
    expect(attempts[1]?.transaction).toEqual(attempts[0]?.transaction)
    await second.stop(0)
  })
})
