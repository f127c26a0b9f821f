/** Contract of stores: the outbox. https://spec.matrix.org/latest/server-server-api/#transactions */
import { describe, expect, it } from 'vitest'
import type { ServerName, UserId } from '../../src/matrix/identifiers.ts'
import type { StoreUnderTest } from './contract.ts'
import { accept, CAROL, DAVE, event, HERE, importRoom, knock, member, nameOf, sampleState } from './sample-room.ts'

const THERE = 'there.test' as ServerName

export function deliveryContract(subject: StoreUnderTest): void {
  const expandAll = async () => {
    let calls = 1
    while (await subject.store.expand()) calls++
    return calls
  }
  const sent = async (server: ServerName) =>
    (await subject.store.transactionFor(server))?.events.map(({ eventId }) => nameOf(eventId))

  describe('the outbox', () => {
    it('G3: has one transaction per joined server, except ourselves and the knocker', async () => {
      const others = ['one.test', 'two.test', 'remote.test'].map((server) => member(server, `@x:${server}`, 'join'))
      await importRoom(subject.store, { state: [...sampleState(), ...others, member('out', '@x:out.test', 'leave')] })
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await expandAll()
      const due = await subject.store.due(subject.now(), 100)
      expect([...due].sort()).toEqual(['one.test', 'there.test', 'two.test'])
      expect(await subject.store.depth(subject.now())).toEqual({ waiting: 3, failing: 0, oldestAge: 0 })
      expect(await subject.store.transactionFor(HERE)).toBeUndefined()
    })

    it('G3: gives the same transaction until it is delivered, and another id for the next', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await expandAll()
      const first = await subject.store.transactionFor(THERE)
      await accept(subject.store, knock('k2', DAVE, ['k1']))
      await expandAll()
      expect(await subject.store.transactionFor(THERE)).toEqual(first)
      expect(first?.events.map(({ eventId }) => nameOf(eventId))).toEqual(['k1'])
      await subject.store.delivered(THERE, first?.txnId ?? '')
      const second = await subject.store.transactionFor(THERE)
      expect(second?.events.map(({ eventId }) => nameOf(eventId))).toEqual(['k2'])
      expect(second?.txnId).not.toBe(first?.txnId)
      expect(first?.txnId).toMatch(/^mk[A-Za-z0-9]{16,}$/)
      await subject.store.delivered(THERE, second?.txnId ?? '')
      expect(await subject.store.transactionFor(THERE)).toBeUndefined()
      expect(await subject.store.nextDue()).toBeUndefined()
      expect(await subject.store.depth(subject.now())).toEqual({ waiting: 0, failing: 0, oldestAge: 0 })
    })

    it('G3: puts at most 50 events into a transaction, oldest first', async () => {
      await importRoom(subject.store)
      const names = Array.from({ length: 120 }, (_, at) => `k${at}`)
      for (const name of names) await accept(subject.store, knock(name, `@${name}:remote.test` as UserId, ['bob']))
      await expandAll()
      const all: string[] = []
      const sizes: number[] = []
      for (
        let next = await subject.store.transactionFor(THERE);
        next;
        next = await subject.store.transactionFor(THERE)
      ) {
        all.push(...next.events.map(({ eventId }) => nameOf(eventId)))
        sizes.push(next.events.length)
        await subject.store.delivered(THERE, next.txnId)
      }
      expect(sizes).toEqual([50, 50, 20])
      expect(all).toEqual(names)
    })

    it('keeps a failing destination quiet until it may be tried again, and counts it', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await expandAll()
      const { txnId = '' } = (await subject.store.transactionFor(THERE)) ?? {}
      const retryAt = subject.now() + 5_000
      await subject.store.failed(THERE, txnId, retryAt, 'connection refused')
      expect(await subject.store.due(retryAt - 1, 10)).toEqual([])
      expect(await subject.store.nextDue()).toBe(retryAt)
      expect(await subject.store.due(retryAt, 10)).toEqual([THERE])
      expect(await subject.store.transactionFor(THERE)).toMatchObject({ txnId, attempts: 1 })
      expect(await subject.store.depth(subject.now() + 1_000)).toEqual({ waiting: 1, failing: 1, oldestAge: 1_000 })
      await accept(subject.store, knock('k2', DAVE, ['bob']))
      await expandAll()
      expect(await subject.store.nextDue()).toBe(retryAt)
      await subject.store.delivered(THERE, txnId)
      expect(await subject.store.transactionFor(THERE)).toMatchObject({ attempts: 0 })
      expect(await subject.store.due(subject.now(), 10)).toEqual([THERE])
    })

    it('ignores an answer to a transaction that is not the one in flight', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await expandAll()
      const before = await subject.store.transactionFor(THERE)
      await subject.store.delivered(THERE, 'mkother')
      await subject.store.failed(THERE, 'mkother', subject.now() + 9_000, 'x')
      await subject.store.delivered('nobody.test' as ServerName, 'mkother')
      expect(await subject.store.transactionFor(THERE)).toEqual(before)
      expect(await subject.store.due(subject.now(), 10)).toEqual([THERE])
    })

    it('turns a knock in a room of many servers into rows a bounded chunk at a time', async () => {
      const crowd = Array.from({ length: 450 }, (_, at) => member(`m${at}`, `@m:s${at}.test`, 'join'))
      await importRoom(subject.store, { state: [...sampleState(), ...crowd] })
      await accept(subject.store, knock('k', CAROL, ['bob']))
      expect(await subject.store.expand()).toBe(true)
      expect((await subject.store.due(subject.now(), 1_000)).length).toBeLessThanOrEqual(200)
      expect(await expandAll()).toBe(2)
      expect(await subject.store.due(subject.now(), 1_000)).toHaveLength(451)
    })

    it('serves the servers that were joined when the knock was accepted, whatever was imported since', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      const others = [...sampleState().slice(0, 4), member('eve', '@eve:new.test', 'join')]
      await importRoom(subject.store, { state: others, extremities: [event('tip')] })
      await expandAll()
      expect(await subject.store.due(subject.now(), 10)).toEqual([THERE])
      expect(await sent(THERE)).toEqual(['k'])
    })
  })
}
