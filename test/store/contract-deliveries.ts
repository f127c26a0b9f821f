/** Contract of stores: what the outbox holds. https://spec.matrix.org/latest/server-server-api/#transactions */
import { describe, expect, it } from 'vitest'
import type { OutgoingTransaction } from '../../src/knock/ports/deliveries.ts'
import type { ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { claimFor, dueAt, expandAll, namesIn, serversOf } from './claiming.ts'
import type { StoreUnderTest } from './contract.ts'
import { accept, CAROL, DAVE, event, importRoom, knock, member, sampleState } from './sample-room.ts'

const THERE = 'there.test' as ServerName

export function deliveryContract(subject: StoreUnderTest): void {
  const expand = () => expandAll(subject.store)
  const due = () => dueAt(subject.store, subject.now())
  const claim = () => claimFor(subject.store, subject.now(), THERE)
  const answer = ({ destination, txnId }: OutgoingTransaction) => subject.store.delivered(destination, txnId)

  describe('the outbox', () => {
    it('G3: has one transaction per joined server, except ourselves and the knocker', async () => {
      const others = ['one.test', 'two.test', 'remote.test'].map((server) => member(server, `@x:${server}`, 'join'))
      await importRoom(subject.store, { state: [...sampleState(), ...others, member('out', '@x:out.test', 'leave')] })
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await expand()
      const transactions = await due()
      expect([...serversOf(transactions)].sort()).toEqual(['one.test', 'there.test', 'two.test'])
      expect(new Set(transactions.map(({ txnId }) => txnId)).size).toBe(3)
      expect(await subject.store.depth(subject.now())).toEqual({ waiting: 3, failing: 0, oldestAge: 0 })
    })

    it('G3: gives the same transaction until it is delivered, and another id for the next', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await expand()
      const [first] = await due()
      expect(first).toMatchObject({ startedAt: subject.now(), oldestAt: subject.now(), attempts: 0 })
      subject.advance(5_000)
      await accept(subject.store, knock('k2', DAVE, ['k1']))
      await expand()
      expect(await due()).toEqual([first])
      const again = await claim()
      expect(namesIn(again)).toEqual(['k1'])
      if (again !== undefined) await answer(again)
      const second = await claim()
      expect(namesIn(second)).toEqual(['k2'])
      expect(second).toMatchObject({ startedAt: subject.now(), oldestAt: subject.now() })
      expect(second?.txnId).not.toBe(first?.txnId)
      expect(first?.txnId).toMatch(/^mk[A-Za-z0-9]{16,}$/)
      if (second !== undefined) await answer(second)
      expect(await due()).toEqual([])
      expect(await subject.store.nextDue()).toBeUndefined()
      expect(await subject.store.depth(subject.now())).toEqual({ waiting: 0, failing: 0, oldestAge: 0 })
    })

    it('G3: puts at most 50 events into a transaction, oldest first', async () => {
      await importRoom(subject.store)
      const names = Array.from({ length: 120 }, (_, at) => `k${at}`)
      for (const name of names) await accept(subject.store, knock(name, `@${name}:remote.test` as UserId, ['bob']))
      await expand()
      const all: string[] = []
      const sizes: number[] = []
      for (let next = await claim(); next; next = await claim()) {
        all.push(...(namesIn(next) ?? []))
        sizes.push(next.events.length)
        await answer(next)
      }
      expect(sizes).toEqual([50, 50, 20])
      expect(all).toEqual(names)
    })

    it('turns a knock in a room of many servers into rows a bounded chunk at a time', async () => {
      const crowd = Array.from({ length: 1_150 }, (_, at) => member(`m${at}`, `@m:s${at}.test`, 'join'))
      await importRoom(subject.store, { state: [...sampleState(), ...crowd] })
      await accept(subject.store, knock('k', CAROL, ['bob']))
      expect(await subject.store.expand()).toBe(true)
      expect((await due()).length).toBeLessThanOrEqual(500)
      expect(await expand()).toBe(2)
      expect(await due()).toHaveLength(1_151)
    })

    it('serves the servers that were joined when the knock was accepted, whatever was imported since', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      const others = [...sampleState().slice(0, 4), member('eve', '@eve:new.test', 'join')]
      await importRoom(subject.store, { state: others, extremities: [event('tip')] })
      await expand()
      const transactions = await due()
      expect(serversOf(transactions)).toEqual([THERE])
      expect(namesIn(transactions[0])).toEqual(['k'])
    })

    it('gives up what is older than an instant, or everything, and says how much', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('old', CAROL, ['bob']))
      await expand()
      const [before] = await due()
      subject.advance(1_000)
      await accept(subject.store, knock('new', DAVE, ['bob']))
      await expand()
      expect(await subject.store.drop(THERE, subject.now() - 1_000)).toBe(0)
      expect(await due()).toEqual([before])
      expect(await subject.store.drop(THERE, subject.now())).toBe(1)
      const [after] = await due()
      expect(namesIn(after)).toEqual(['new'])
      expect(after).toMatchObject({ oldestAt: subject.now() })
      expect(after?.txnId).not.toBe(before?.txnId)
      expect(await subject.store.depth(subject.now())).toEqual({ waiting: 1, failing: 0, oldestAge: 0 })
      expect(await subject.store.drop(THERE)).toBe(1)
      expect(await subject.store.drop(THERE)).toBe(0)
      expect(await due()).toEqual([])
      expect(await subject.store.depth(subject.now())).toEqual({ waiting: 0, failing: 0, oldestAge: 0 })
    })

    it('gives up more than one transaction of the writer takes', async () => {
      await importRoom(subject.store)
      const crowd = Array.from({ length: 2_001 }, (_, at) => `k${at}`)
      await Promise.all(
        crowd.map((name) => accept(subject.store, knock(name, `@${name}:remote.test` as UserId, ['bob']))),
      )
      await expand()
      expect(await subject.store.drop(THERE)).toBe(crowd.length)
      expect(await due()).toEqual([])
    })

    it('keeps the transaction where only events behind it are given up', async () => {
      await importRoom(subject.store)
      subject.advance(10_000)
      await accept(subject.store, knock('late', CAROL, ['bob']))
      await expand()
      const [before] = await due()
      // The clock went back.
      subject.advance(-5_000)
      await accept(subject.store, knock('early', DAVE, ['bob']))
      await expand()
      expect(await subject.store.drop(THERE, subject.now() + 1)).toBe(1)
      expect(await due()).toEqual([])
      subject.advance(5_000)
      expect(await due()).toEqual([before])
    })
  })
}
