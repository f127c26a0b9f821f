/** Transactions that a server refuses for good: one event is dropped, and nothing else waits for it. */
import { afterEach, describe, expect, it } from 'vitest'
import type { DeliveryResult } from '../../../src/federation/delivery/transaction.ts'
import type { OutgoingTransaction } from '../../../src/knock/ports/deliveries.ts'
import { DELIVERED, HOUR, MINUTE, moment, startWorker, until, type WorkerOptions } from './worker-fixture.ts'

const REFUSED: DeliveryResult = { kind: 'refused', reason: 'the server answers 400' }

describe('transactions that are refused', () => {
  let started: ReturnType<typeof startWorker> | undefined
  afterEach(() => started?.worker.stop(0))

  function build(options: WorkerOptions = {}) {
    started = startWorker(options)
    return started
  }

  const idsIn = ({ events }: OutgoingTransaction) => events.map(({ eventId }) => eventId as string)

  /** A server that takes everything but these events, and remembers what it was sent. */
  function choosy(bad: ReadonlySet<string>) {
    const contents = new Map<string, string>()
    const received: string[] = []
    const answer = (transaction: OutgoingTransaction): DeliveryResult => {
      const { destination, txnId } = transaction
      const ids = idsIn(transaction)
      const content = JSON.stringify([destination, transaction.startedAt, ids])
      // Whatever is sent under an id stays the same.
      expect(contents.get(txnId) ?? content).toBe(content)
      contents.set(txnId, content)
      if (ids.some((id) => bad.has(id))) return REFUSED
      received.push(...ids)
      return DELIVERED
    }
    return { answer, received }
  }

  it('G3 are halved until the event stands alone that is refused; the others arrive at once, in order', async () => {
    const bad = new Set<string>()
    const { answer, received } = choosy(bad)
    const { outbox, worker, another, attempts, reports } = build({ answer })
    await worker.stop(0)
    const ids = Array.from({ length: 60 }, () => outbox.add('a.test'))
    for (const at of [7, 8, 49, 55]) bad.add(ids[at] as string)
    const second = another()
    second.start()
    await until(async () => expect(await outbox.waiting()).toBe(0))
    await second.stop(0)
    expect(received).toEqual(ids.filter((id) => !bad.has(id)))
    expect(reports.refused).toEqual([...bad].map((id) => `a.test ${id}: the server answers 400`))
    expect(reports.halved[0]).toBe('a.test 50: the server answers 400')
    expect(attempts.length).toBeLessThan(70)
    expect(reports.faults).toEqual([])
    expect(outbox.log.filter((line) => line.startsWith('failed'))).toEqual([])
  })

  it('G3 go on in another process where they were, and bring nothing twice', async () => {
    const bad = new Set<string>()
    const { answer, received } = choosy(bad)
    let sent = 0
    // The first worker ends in the middle.
    const { outbox, worker, another, reports } = build({
      answer: (transaction) => (++sent <= 4 ? answer(transaction) : undefined),
    })
    await worker.stop(0)
    const ids = Array.from({ length: 50 }, () => outbox.add('a.test'))
    bad.add(ids[30] as string)
    const second = another()
    second.start()
    await until(() => expect(sent).toBe(5))
    await second.stop(0)
    sent = Number.NEGATIVE_INFINITY
    const third = another()
    third.start()
    await until(async () => expect(await outbox.waiting()).toBe(0))
    await third.stop(0)
    expect(received).toEqual(ids.filter((id) => !bad.has(id)))
    expect(reports.refused).toHaveLength(1)
  })

  it('G3 hold up no other server, and drop the event for none but the one that refuses it', async () => {
    const bad = new Set<string>()
    const { answer } = choosy(bad)
    const { outbox, reports } = build({
      answer: (transaction) => (transaction.destination === 'a.test' ? answer(transaction) : DELIVERED),
    })
    const ids = Array.from({ length: 10 }, () => 'a.test').map((name) => {
      const id = outbox.add(name, 'b.test')
      if (bad.size === 0) bad.add(id)
      return id
    })
    await until(async () => expect(await outbox.waiting()).toBe(0))
    expect(reports.refused).toEqual([`a.test ${ids[0]}: the server answers 400`])
    expect(outbox.log.filter((line) => line.startsWith('failed'))).toEqual([])
  })

  it('G3 by a server that takes an empty transaction, drop the one event at once', async () => {
    const { outbox, attempts, reports } = build({
      answer: ({ events }) => (events.length > 0 ? REFUSED : DELIVERED),
    })
    const id = outbox.add('a.test')
    await until(async () => expect(await outbox.waiting()).toBe(0))
    expect(reports.refused).toEqual([`a.test ${id}: the server answers 400`])
    expect(attempts.map(({ transaction }) => transaction.events.length)).toEqual([1, 0])
    expect(attempts[1]?.transaction.txnId).not.toBe(attempts[0]?.transaction.txnId)
  })

  it('G3 by a server that refuses everything, drop one event after three refusals that take longer each time', async () => {
    let up = false
    const { outbox, attempts, reports, pass, clock } = build({
      answer: () => (up ? DELIVERED : REFUSED),
      random: 0.9999,
    })
    const ids = Array.from({ length: 8 }, () => outbox.add('a.test'))
    const failures = async (count: number) => {
      await until(() => expect(outbox.log.filter((line) => line.startsWith('failed'))).toHaveLength(count))
      await moment()
    }
    const start = clock()
    const droppedAt: number[] = []
    for (let count = 1; count <= 9; count++) {
      await failures(count)
      while (droppedAt.length < reports.refused.length) droppedAt.push(clock() - start)
      pass((outbox.retryAt.get('a.test') ?? 0) - clock() + 1)
    }
    expect(reports.refused).toEqual(ids.slice(0, 3).map((id) => `a.test ${id}: the server answers 400`))
    const minutes = droppedAt.map((at) => Math.round(at / MINUTE))
    expect(minutes).toEqual([0, 1, 9])
    // Those that are left were never sent beside the one that was tried, but for the halving at the start.
    expect(attempts.filter(({ transaction }) => transaction.events.length > 1)).toHaveLength(3)
    up = true
    pass(HOUR)
    await until(async () => expect(await outbox.waiting()).toBe(0))
    expect(outbox.log.filter((line) => line.startsWith('delivered')).at(-1)).toMatch(/^delivered/)
    expect(reports.refused.length).toBeLessThanOrEqual(4)
  })

  it('G3 are told from failures that no event is to blame for', async () => {
    const { outbox, reports, attempts } = build({
      answer: () => ({ kind: 'failed', reason: 'the server answers 403' }),
    })
    outbox.add('a.test')
    outbox.add('a.test')
    await until(() => expect(outbox.log).toHaveLength(1))
    await moment()
    expect(reports.halved).toEqual([])
    expect(attempts).toHaveLength(1)
  })
})
