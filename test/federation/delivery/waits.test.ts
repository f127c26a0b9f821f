import { afterEach, describe, expect, it } from 'vitest'
import type { ServerName } from '../../../src/matrix/identifiers.ts'
import { DELIVERED, failure, HOUR, MINUTE, moment, startWorker, until, type WorkerOptions } from './worker-fixture.ts'

const A = 'a.test' as ServerName
const DAY = 24 * HOUR

describe('deliveries that fail', () => {
  let started: ReturnType<typeof startWorker> | undefined
  afterEach(() => started?.worker.stop(0))

  function build(options: WorkerOptions = {}) {
    started = startWorker(options)
    return started
  }

  it('G3 are made again, the same in all, after waits that double up to an hour', async () => {
    const { outbox, attempts, pass, clock } = build({ answer: () => failure(), random: 0.9999 })
    outbox.add('a.test')
    const waits: number[] = []
    while (waits.length < 14) {
      await until(() => expect(outbox.log).toHaveLength(waits.length + 1))
      waits.push(Math.round(((outbox.retryAt.get('a.test') ?? 0) - clock()) / 1000))
      pass((waits.at(-1) ?? 0) * 1000 + 1000)
    }
    expect(waits.slice(0, 5)).toEqual([2, 4, 8, 16, 32])
    expect(waits.at(-1)).toBe(3600)
    expect(new Set(attempts.map(({ transaction: { txnId, startedAt } }) => `${txnId} ${startedAt}`)).size).toBe(1)
  })

  it('G3 for an hour cost their destination a dozen requests or so', async () => {
    const { outbox, attempts, pass } = build({ answer: () => failure(), random: 0.5 })
    outbox.add('a.test')
    for (let second = 0; second < 3_600; second += 5) {
      pass(5_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await moment()
    expect(attempts.length).toBeGreaterThanOrEqual(9)
    expect(attempts.length).toBeLessThanOrEqual(14)
  })

  it('G3 chance halves a wait at most', async () => {
    const { outbox, clock } = build({ answer: () => failure(), random: 0 })
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    expect(Math.round(((outbox.retryAt.get('a.test') ?? 0) - clock()) / 100)).toBe(10)
  })

  it('G3 fall due again at a whole millisecond, as queues keep it', async () => {
    const { outbox } = build({ answer: () => failure(), random: 0.1234567 })
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    expect(outbox.retryAt.get('a.test')).toSatisfy(Number.isInteger)
  })

  it.each([
    [90_000, 90],
    [99 * HOUR, 3600],
    [Number.POSITIVE_INFINITY, 3600],
  ])('G3 wait for a Retry-After of %s ms, an hour at most', async (askedMs, seconds) => {
    const { outbox, clock } = build({ answer: () => failure(askedMs) })
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    expect(Math.round(((outbox.retryAt.get('a.test') ?? 0) - clock()) / 1000)).toBe(seconds)
  })
})

describe('a destination that gives a sign of life', () => {
  let started: ReturnType<typeof startWorker> | undefined
  afterEach(() => started?.worker.stop(0))

  /** A destination that failed until its wait was an hour, and answers from now on. */
  async function buildRecovered(askedMs?: number) {
    let up = false
    started = startWorker({ answer: () => (up ? DELIVERED : failure(askedMs)) })
    const { outbox, pass } = started
    outbox.add('a.test')
    for (let attempts = 1; attempts <= 12; attempts++) {
      await until(() => expect(outbox.log).toHaveLength(attempts))
      if (attempts < 12) pass(HOUR)
    }
    up = true
    return started
  }

  it('is sent to at once', async () => {
    const { outbox, worker } = await buildRecovered()
    worker.heardFrom('other.test' as ServerName)
    await moment()
    expect(await outbox.waiting()).toBe(1)
    const start = Date.now()
    worker.heardFrom(A)
    await until(async () => expect(await outbox.waiting()).toBe(0))
    expect(Date.now() - start).toBeLessThan(1_000)
  })

  it('is not sent to before the time that it asked for', async () => {
    const { outbox, worker, pass, clock } = await buildRecovered(10 * MINUTE)
    expect(await outbox.nextDue()).toBeGreaterThan(clock() + 20 * MINUTE)
    worker.heardFrom(A)
    await until(async () => expect(await outbox.nextDue()).toBeLessThanOrEqual(clock() + 10 * MINUTE))
    await moment()
    expect(await outbox.waiting()).toBe(1)
    pass(10 * MINUTE)
    await until(async () => expect(await outbox.waiting()).toBe(0))
  })

  it('goes on with all that waits', async () => {
    const { outbox, worker } = await buildRecovered()
    for (let count = 0; count < 120; count++) outbox.add('a.test')
    worker.heardFrom(A)
    await until(async () => expect(await outbox.waiting()).toBe(0))
    expect(outbox.log.filter((line) => line.startsWith('delivered'))).toHaveLength(4)
  })

  it('costs the queue little, however often it does, and none of the requests that bring it', async () => {
    started = startWorker({ answer: () => DELIVERED })
    const { outbox, worker } = started
    let asked = 0
    const resume = outbox.resume
    outbox.resume = async (servers) => {
      asked += servers.length
      return resume(servers)
    }
    const names = Array.from({ length: 10 }, (_, at) => `s${at}.test` as ServerName)
    const start = performance.now()
    for (let count = 0; count < 100_000; count++) worker.heardFrom(names[count % 10] as ServerName)
    const each = (performance.now() - start) / 100_000
    await until(() => expect(asked).toBe(10))
    await moment()
    expect(asked).toBe(10)
    // Microseconds, where checking one signature takes a hundred: with room for a machine that is busy.
    expect(each).toBeLessThan(0.05)
  })
})

describe('a clock that is set', () => {
  let started: ReturnType<typeof startWorker> | undefined
  afterEach(() => started?.worker.stop(0))

  it('back by a year leaves nobody waiting for longer than an hour', async () => {
    let up = false
    started = startWorker({ answer: () => (up ? DELIVERED : failure()) })
    const { outbox, pass, setClock, clock } = started
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    up = true
    setClock(-365 * DAY)
    await until(async () => expect(await outbox.nextDue()).toBeLessThanOrEqual(clock() + HOUR))
    await moment()
    expect(outbox.log).toHaveLength(1)
    pass(HOUR)
    await until(async () => expect(await outbox.waiting()).toBe(0))
  })

  it('back while the service is down leaves nobody waiting either', async () => {
    started = startWorker({ answer: () => failure() })
    const { outbox, worker, another, clock } = started
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    await worker.stop(0)
    const [claimed] = await outbox.claim(clock() + HOUR, 1)
    await outbox.failed(A, claimed?.txnId ?? '', { retryAt: clock() + 365 * DAY, reason: 'no' })
    const second = another()
    second.start()
    await until(async () => expect(await outbox.nextDue()).toBeLessThanOrEqual(clock() + HOUR))
    await second.stop(0)
  })

  it('ahead by a year makes everyone due once, a bounded number at a time, and drops nothing', async () => {
    started = startWorker({ answer: () => undefined, maxParallel: 4 })
    const { outbox, attempts, setClock, mostAtOnce, reports } = started
    const names = Array.from({ length: 40 }, (_, at) => `s${at}.test`)
    outbox.add(...names)
    const failAll = async (count: number) => {
      for (let at = count - 40; at < count; at++) {
        await until(() => expect(attempts.length).toBeGreaterThan(at))
        attempts[at]?.finish(failure())
      }
    }
    await failAll(40)
    await until(() => expect(outbox.log).toHaveLength(40))
    setClock(365 * DAY)
    await failAll(80)
    await until(() => expect(outbox.log).toHaveLength(80))
    await moment()
    expect(attempts).toHaveLength(80)
    expect(new Set(attempts.slice(40).map(({ transaction }) => transaction.destination)).size).toBe(40)
    expect(mostAtOnce()).toBe(4)
    expect(reports.gaveUp).toEqual([])
    expect(await outbox.waiting()).toBe(40)
  })
})

describe('events that waited for too long', () => {
  let started: ReturnType<typeof startWorker> | undefined
  afterEach(() => started?.worker.stop(0))

  it('are dropped after another failure, and told once with their number; the others stay', async () => {
    started = startWorker({ answer: () => failure(), giveUpMs: 2 * HOUR })
    const { outbox, pass, reports, attempts, clock } = started
    const tried = async (count: number) => {
      await until(() => expect(outbox.log).toHaveLength(count))
      await moment()
    }
    await moment()
    const oldestAt = clock()
    for (let count = 0; count < 60; count++) outbox.add('a.test')
    await tried(1)
    pass(HOUR + MINUTE)
    await tried(2)
    const late = outbox.add('a.test')
    pass(HOUR)
    await tried(3)
    expect(reports.gaveUp).toHaveLength(1)
    expect(reports.gaveUp[0]).toMatchObject({ destination: 'a.test', events: 60 })
    expect(Math.abs((reports.gaveUp[0]?.oldestAt ?? 0) - oldestAt)).toBeLessThan(1_000)
    expect(await outbox.waiting()).toBe(1)
    pass(10 * MINUTE)
    await tried(4)
    expect(reports.gaveUp).toHaveLength(1)
    const [before, after] = attempts.slice(-2)
    expect(after?.transaction.events.map(({ eventId }) => eventId)).toEqual([late])
    expect(after?.transaction.txnId).not.toBe(before?.transaction.txnId)
  })

  it('are sent all the same where the destination answers', async () => {
    let up = false
    started = startWorker({ answer: () => (up ? DELIVERED : failure()), giveUpMs: 2 * HOUR })
    const { outbox, pass, reports } = started
    const id = outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    up = true
    pass(9 * HOUR)
    await until(() => expect(outbox.log.at(-1)).toBe(`delivered a.test ${id}`))
    expect(reports.gaveUp).toEqual([])
  })

  it('by a clock that was set ahead are tried for another hour first', async () => {
    started = startWorker({ answer: () => failure(), giveUpMs: 2 * HOUR })
    const { outbox, pass, setClock, reports } = started
    pass(HOUR + MINUTE)
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    setClock(365 * DAY)
    await until(() => expect(outbox.log).toHaveLength(2))
    await moment()
    expect(reports.gaveUp).toEqual([])
    pass(HOUR + MINUTE)
    await until(() => expect(reports.gaveUp).toHaveLength(1))
  })

  it('while the service was down are tried for another hour first', async () => {
    started = startWorker({ answer: () => failure(), giveUpMs: 2 * HOUR })
    const { outbox, pass, reports, worker, another } = started
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    await worker.stop(0)
    pass(9 * HOUR)
    const second = another()
    second.start()
    await until(() => expect(outbox.log).toHaveLength(2))
    await moment()
    expect(reports.gaveUp).toEqual([])
    pass(HOUR + MINUTE)
    await until(() => expect(reports.gaveUp).toHaveLength(1))
    await second.stop(0)
  })
})
