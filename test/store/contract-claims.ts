/** Contract of stores: who delivers, who waits and for how long. */
import { beforeEach, describe, expect, it } from 'vitest'
import type { OutgoingTransaction } from '../../src/knock/ports/deliveries.ts'
import type { ServerName } from '../../src/matrix/identifiers.ts'
import { claimFor, dueAt, expandAll, serversOf } from './claiming.ts'
import type { StoreUnderTest } from './contract.ts'
import { accept, CAROL, DAVE, importRoom, knock, member, sampleState } from './sample-room.ts'

const THERE = 'there.test' as ServerName
const OTHER = 'other.test' as ServerName

export function claimContract(subject: StoreUnderTest): void {
  const due = async () => serversOf(await dueAt(subject.store, subject.now()))
  const claim = (limit = 100) => subject.store.claim(subject.now(), limit)
  const claimThere = async () => {
    const claimed = await claimFor(subject.store, subject.now(), THERE)
    if (claimed === undefined) throw new Error('nothing is due')
    return claimed
  }
  const fail = ({ destination, txnId }: OutgoingTransaction, waitMs: number, askedMs?: number) => {
    const asked = askedMs !== undefined && { notBefore: subject.now() + askedMs }
    return subject.store.failed(destination, txnId, { retryAt: subject.now() + waitMs, reason: 'refused', ...asked })
  }
  const another = async () => {
    await accept(subject.store, knock('k2', DAVE, ['bob']))
    await expandAll(subject.store)
  }

  describe('claims on destinations', () => {
    beforeEach(async () => {
      await importRoom(subject.store, { state: [...sampleState(), member('oz', '@oz:other.test', 'join')] })
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await expandAll(subject.store)
    })

    it('are given once, and again when they end', async () => {
      const [first, second, ...more] = await claim()
      expect([first?.destination, second?.destination].sort()).toEqual([OTHER, THERE])
      expect(more).toEqual([])
      expect(await claim()).toEqual([])
      expect(await subject.store.nextDue()).toBeUndefined()
      if (first === undefined || second === undefined) throw new Error('two destinations are due')
      await subject.store.release(first.destination, first.txnId)
      expect(await claim()).toEqual([first])
      await fail(second, 0)
      expect(await claim()).toEqual([{ ...second, attempts: 1 }])
    })

    it('are never given twice to callers at once', async () => {
      const claimed = (await Promise.all([claim(1), claim(1), claim(1), claim(5)])).flat()
      expect([...serversOf(claimed)].sort()).toEqual([OTHER, THERE])
    })

    it('are limited in number, and go to those that are due soonest', async () => {
      await fail(await claimThere(), 1_000)
      expect(serversOf(await claim(5))).toEqual([OTHER])
      subject.advance(1_000)
      const [there] = await claim(1)
      expect(there?.destination).toBe(THERE)
      await subject.store.delivered(THERE, there?.txnId ?? '')
      expect(await claim(1)).toEqual([])
    })

    it('go to those that did not fail before the others, and to so many of these as are wanted', async () => {
      await fail(await claimThere(), 0)
      subject.advance(1_000)
      expect(serversOf(await dueAt(subject.store, subject.now()))).toEqual([OTHER, THERE])
      expect(serversOf(await subject.store.claim(subject.now(), 2, 0))).toEqual([OTHER])
      expect(serversOf(await subject.store.claim(subject.now(), 2, 1))).toEqual([THERE])
    })

    it('are given for the soonest even where it is held', async () => {
      const held = await claim(1)
      expect(serversOf([...held, ...(await claim(1))]).length).toBe(2)
    })

    it('leave out those that are held when they tell what is due next', async () => {
      const there = await claimThere()
      expect(await subject.store.nextDue()).toBe(subject.now())
      await fail(there, 7_000)
      for (const { destination, txnId } of await claim()) await subject.store.delivered(destination, txnId)
      expect(await subject.store.nextDue()).toBe(subject.now() + 7_000)
    })

    it('hold while more is enqueued, and while all is dropped', async () => {
      const [there] = (await claim()).filter(({ destination }) => destination === THERE)
      await another()
      expect(await claim()).toEqual([])
      expect(await subject.store.drop(THERE)).toBe(2)
      await accept(subject.store, knock('k3', '@e:remote.test' as typeof DAVE, ['bob']))
      await expandAll(subject.store)
      expect(await claim()).toEqual([])
      await subject.store.delivered(THERE, there?.txnId ?? '')
      const [next] = await claim()
      expect(next).toMatchObject({ destination: THERE, attempts: 0 })
      expect(next?.events).toHaveLength(1)
    })

    it('do not end by an answer to another transaction', async () => {
      const before = await claimThere()
      await subject.store.delivered(THERE, 'mkother')
      await subject.store.failed(THERE, 'mkother', { retryAt: subject.now() + 9_000, reason: 'x' })
      await subject.store.release(THERE, 'mkother')
      await subject.store.delivered('nobody.test' as ServerName, 'mkother')
      expect(await due()).toEqual([OTHER])
      await subject.store.release(THERE, before.txnId)
      expect(await claimThere()).toEqual(before)
    })
  })

  describe('waits after a failure', () => {
    beforeEach(async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await expandAll(subject.store)
    })

    it('keep a destination quiet until it may be tried again, and count it', async () => {
      const { txnId } = await claimThere()
      const retryAt = subject.now() + 5_000
      await subject.store.failed(THERE, txnId, { retryAt, reason: 'connection refused' })
      subject.advance(4_999)
      expect(await due()).toEqual([])
      expect(await subject.store.nextDue()).toBe(retryAt)
      await another()
      expect(await subject.store.nextDue()).toBe(retryAt)
      expect(await subject.store.depth(subject.now())).toEqual({ waiting: 2, failing: 1, oldestAge: 4_999 })
      subject.advance(1)
      expect(await claimThere()).toMatchObject({ txnId, attempts: 1 })
      await subject.store.delivered(THERE, txnId)
      expect(await claimThere()).toMatchObject({ attempts: 0 })
      expect(await subject.store.depth(subject.now())).toMatchObject({ waiting: 1, failing: 0 })
    })

    it('end when the destination gives a sign of life', async () => {
      expect(await subject.store.resume([THERE])).toBe(false)
      await fail(await claimThere(), 60_000)
      expect(await subject.store.resume([OTHER])).toBe(false)
      expect(await due()).toEqual([])
      expect(await subject.store.resume([OTHER, THERE])).toBe(true)
      expect(await claimThere()).toMatchObject({ attempts: 1 })
      expect(await subject.store.resume([THERE])).toBe(false)
    })

    it('that the destination asked for are kept to', async () => {
      await fail(await claimThere(), 60_000, 60_000)
      expect(await subject.store.resume([THERE])).toBe(false)
      subject.advance(60_000)
      await fail(await claimThere(), 60_000, 20_000)
      expect(await subject.store.resume([THERE])).toBe(true)
      expect(await subject.store.nextDue()).toBe(subject.now() + 20_000)
      expect(await subject.store.resume([THERE])).toBe(false)
      subject.advance(20_000)
      await fail(await claimThere(), 60_000)
      expect(await subject.store.resume([THERE])).toBe(true)
      expect(await due()).toEqual([THERE])
    })

    it('that are longer than can be are cut', async () => {
      await fail(await claimThere(), 5_000)
      const waits = subject.now() + 5_000
      await subject.store.boundWaits(waits)
      expect(await subject.store.nextDue()).toBe(waits)
      await subject.store.boundWaits(waits - 4_000)
      expect(await subject.store.nextDue()).toBe(waits - 4_000)
    })

    it('end when the operator says so, for one or for all', async () => {
      expect(await subject.store.retry()).toBe(0)
      await fail(await claimThere(), 60_000, 60_000)
      expect(await subject.store.retry(OTHER)).toBe(0)
      expect(await subject.store.retry(THERE)).toBe(1)
      await fail(await claimThere(), 60_000)
      expect(await subject.store.retry()).toBe(1)
      expect(await claimThere()).toMatchObject({ attempts: 2 })
    })
  })

  describe('the list of deliveries', () => {
    it('tells of each destination by name, page by page', async () => {
      const others = ['b.test', 'a.test', 'c.test'].map((server) => member(server, `@x:${server}`, 'join'))
      await importRoom(subject.store, { state: [...sampleState(), ...others] })
      expect(await subject.store.listDeliveries(undefined, 10)).toEqual([])
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await expandAll(subject.store)
      const start = subject.now()
      await fail(await claimThere(), 60_000)
      subject.advance(1_000)
      await another()
      const page = await subject.store.listDeliveries(undefined, 2)
      expect(page).toEqual(
        ['a.test', 'b.test'].map((destination) => ({
          ...{ destination, waiting: 2, attempts: 0, dueAt: start, oldestAt: start, reason: undefined },
        })),
      )
      const rest = await subject.store.listDeliveries(page.at(-1)?.destination, 10)
      expect(rest.map(({ destination }) => destination)).toEqual(['c.test', THERE])
      const failing = { waiting: 2, attempts: 1, dueAt: start + 60_000, oldestAt: start, reason: 'refused' }
      expect(rest[1]).toEqual({ destination: THERE, ...failing })
      subject.advance(60_000)
      await subject.store.delivered(THERE, (await claimThere()).txnId)
      expect((await subject.store.listDeliveries('c.test' as ServerName, 10))[0]).toEqual({
        ...{ destination: THERE, waiting: 1, attempts: 0, reason: undefined },
        ...{ dueAt: subject.now(), oldestAt: start + 1_000 },
      })
    })
  })
}
