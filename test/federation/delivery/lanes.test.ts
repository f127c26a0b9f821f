/** Slow servers, and many at one address, keep no other waiting. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createDeliveryLanes, type Lane, type LaneLoad } from '../../../src/federation/delivery/lanes.ts'
import type { ServerName } from '../../../src/matrix/identifiers.ts'
import { DELIVERED, failure, MINUTE, moment, startWorker, until, type WorkerOptions } from './worker-fixture.ts'

const SMALL: LaneLoad = { lagging: false, bytes: 1_000 }
const LAGGING: LaneLoad = { lagging: true, bytes: 1_000 }

describe('lanes', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
  afterEach(() => void vi.useRealTimers())

  function build(maxParallel = 32) {
    let freed = 0
    const uptime = () => performance.now()
    const lanes = createDeliveryLanes({ maxParallel, uptime, onFree: () => freed++ })
    /** @returns those that were let in */
    const open = (count: number, load = SMALL, addressOf = (at: number) => `192.0.2.${at % 256}`) =>
      Array.from({ length: count }, (_, at) => ({ lane: lanes.open(load), address: addressOf(at) })).filter(
        ({ lane, address }) => {
          const entered = lane.enter(address)
          if (!entered) lane.close()
          return entered
        },
      )
    return { lanes, open, freed: () => freed }
  }
  const ended = (opened: readonly { readonly lane: Lane }[]) => opened.filter(({ lane }) => lane.signal.aborted).length

  it('are left after a quarter of a second by deliveries that go on, and are free for others', () => {
    const { lanes, open, freed } = build()
    const opened = open(32)
    expect(lanes.free()).toBe(0)
    vi.advanceTimersByTime(249)
    expect(lanes.free()).toBe(0)
    vi.advanceTimersByTime(1)
    expect([lanes.free(), freed(), ended(opened)]).toEqual([32, 32, 0])
  })

  it('are not left where 256 that had less than ten seconds are beside them; then the longest makes room', () => {
    const { lanes, open } = build()
    const opened = []
    for (let round = 0; round < 8; round++) {
      opened.push(...open(32, SMALL, (at) => `192.0.${round}.${at}`))
      vi.advanceTimersByTime(500)
    }
    expect(lanes.free()).toBe(32)
    opened.push(...open(32, SMALL, (at) => `198.51.100.${at}`))
    vi.advanceTimersByTime(5_500)
    expect([lanes.free(), ended(opened)]).toEqual([0, 0])
    vi.advanceTimersByTime(1_000)
    expect([lanes.free(), ended(opened.slice(0, 32)), ended(opened)]).toEqual([32, 32, 32])
    expect(lanes.most).toBe(288)
  })

  it('are left only as far as 64 MiB are beside them', () => {
    const { lanes, open } = build()
    const opened = []
    for (let round = 0; round < 5; round++) {
      opened.push(...open(Math.min(32, lanes.free()), { lagging: false, bytes: 512 * 1024 }))
      vi.advanceTimersByTime(500)
    }
    expect([lanes.free(), ended(opened)]).toEqual([0, 0])
    expect(opened).toHaveLength(4 * 32 + 32)
    vi.advanceTimersByTime(10_000)
    expect(ended(opened)).toBe(32)
  })

  it('to one address are half of all, and half of the places beside them', () => {
    const { lanes, open } = build()
    const there = () => '192.0.2.1'
    const opened = open(32, SMALL, there)
    expect([opened.length, lanes.free()]).toEqual([16, 16])
    for (let round = 0; round < 10; round++) {
      vi.advanceTimersByTime(500)
      opened.push(...open(16, SMALL, there))
    }
    vi.advanceTimersByTime(500)
    expect([opened.length, lanes.free()]).toEqual([144, 16])
    expect(open(16, SMALL, () => '192.0.2.2')).toHaveLength(16)
  })

  it('for servers that lag are half of all, and an eighth to one address; these keep them', () => {
    const { lanes, open } = build()
    const opened = open(16, LAGGING, () => '192.0.2.1')
    expect([opened.length, lanes.freeForLagging()]).toEqual([4, 12])
    open(12, LAGGING, (at) => `198.51.100.${at}`)
    expect([lanes.free(), lanes.freeForLagging()]).toEqual([16, 0])
    vi.advanceTimersByTime(MINUTE)
    expect([lanes.free(), lanes.freeForLagging()]).toEqual([16, 0])
    opened[0]?.lane.close()
    expect(lanes.freeForLagging()).toBe(1)
  })

  it('give those that an address has no lane for a turn, one after the other', () => {
    const { lanes } = build()
    for (let at = 0; at < 16; at++) lanes.open(SMALL).enter('192.0.2.1')
    const waits = [1, 2, 3].map(() => {
      const lane = lanes.open(SMALL)
      expect(lane.enter('192.0.2.1')).toBe(false)
      return lane.untilTurn()
    })
    expect(waits).toEqual([15.625, 31.25, 46.875])
    vi.advanceTimersByTime(MINUTE)
    expect(lanes.open(SMALL).untilTurn()).toBe(0)
  })
})

describe('a delivery worker behind slow servers', () => {
  let started: ReturnType<typeof startWorker> | undefined
  afterEach(() => started?.worker.stop(0))

  async function behind(names: readonly string[], options: WorkerOptions): Promise<number> {
    const answer = ({ destination }: { destination: string }) => (destination === 'good.test' ? DELIVERED : undefined)
    started = startWorker({ maxParallel: 32, answer, ...options })
    const { outbox } = started
    outbox.add(...names)
    const start = performance.now()
    const id = outbox.add('good.test')
    await vi.waitFor(() => expect(outbox.log).toContain(`delivered good.test ${id}`), { timeout: 20_000, interval: 10 })
    return performance.now() - start
  }
  const slow = (count: number) => Array.from({ length: count }, (_, at) => `slow${at}.test`)

  it('G3 brings a good one its knock in five seconds, past a hundred that hang at their first', async () => {
    expect(await behind(slow(100), { addressOf: (name) => `192.0.2.${name.replace(/\D/g, '') || 200}` })).toBeLessThan(
      5_000,
    )
  })

  it('G3 does so also where they share its address', async () => {
    expect(await behind(slow(100), { addressOf: () => '192.0.2.1' })).toBeLessThan(5_000)
  })

  it('G3 brings a good one its knock at once, past a thousand names of one host that hangs', async () => {
    const addressOf = (name: string) => (name === 'good.test' ? '192.0.2.2' : '192.0.2.1')
    expect(await behind(slow(1_000), { addressOf })).toBeLessThan(5_000)
    expect(started?.attempts.length).toBeLessThan(200)
    expect(started?.outbox.log.filter((line) => line.startsWith('failed'))).toEqual([])
  })

  it('G3 counts one that answers after five seconds among those that lag, also when nothing waits for it any more', async () => {
    started = startWorker()
    const { outbox, attempts, pass } = started
    outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(1))
    pass(6_000)
    attempts[0]?.finish(DELIVERED)
    await until(async () => expect(await outbox.waiting()).toBe(0))
    outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(2))
    expect(attempts[1]?.transaction).toMatchObject({ attempts: 0, slow: true })
    attempts[1]?.finish(DELIVERED)
    await until(async () => expect(await outbox.waiting()).toBe(0))
    outbox.add('a.test')
    await until(() => expect(attempts).toHaveLength(3))
    expect(attempts[2]?.transaction.slow).toBe(false)
  })

  it('G3 tries an address that is taken later, without counting a failure', async () => {
    const answer = ({ destination }: { destination: string }) => (destination.startsWith('a') ? undefined : failure())
    started = startWorker({ maxParallel: 2, answer, addressOf: () => '192.0.2.1' })
    const { outbox, attempts } = started
    outbox.add('a.test' as ServerName)
    await until(() => expect(attempts).toHaveLength(1))
    outbox.add('b.test' as ServerName)
    await moment()
    expect(outbox.log).toEqual([])
    await until(() => expect(outbox.log.filter((line) => line.startsWith('failed b.test'))).toHaveLength(1))
  })
})
