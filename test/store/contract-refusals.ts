/** Contract of stores: transactions that are too large, refused, dropped in part or answered slowly. */
import { beforeEach, describe, expect, it } from 'vitest'
import type { OutgoingTransaction } from '../../src/knock/ports/deliveries.ts'
import { canonicalJson } from '../../src/matrix/canonical-json.ts'
import type { ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { claimFor, dueAt, expandAll, namesIn, serversOf } from './claiming.ts'
import type { StoreUnderTest } from './contract.ts'
import { accept, id, importRoom, knock, member, nameOf, ROOM, sampleState } from './sample-room.ts'

const THERE = 'there.test' as ServerName
const OTHER = 'other.test' as ServerName
const DAY = 24 * 60 * 60 * 1000

export function refusalContract(subject: StoreUnderTest): void {
  const knockOf = (name: string, text = '') =>
    knock(name, `@${name}:remote.test` as UserId, ['bob'], { content: { membership: 'knock', text } })
  const enqueue = async (names: readonly string[], text = '') => {
    for (const name of names) await accept(subject.store, knockOf(name, text))
    await expandAll(subject.store)
  }
  const names = (count: number, prefix = 'k') => Array.from({ length: count }, (_, at) => `${prefix}${at}`)
  const claim = async (server = THERE): Promise<OutgoingTransaction> => {
    const claimed = await claimFor(subject.store, subject.now(), server)
    if (claimed === undefined) throw new Error('nothing is due')
    return claimed
  }
  const halve = async () => {
    const { txnId } = await claim()
    await subject.store.halve(THERE, txnId, 'the server answers 400')
  }
  /** @returns its length */
  const deliver = async (): Promise<number> => {
    const { txnId, events } = await claim()
    await subject.store.delivered(THERE, txnId)
    return events.length
  }
  const fail = ({ destination, txnId }: OutgoingTransaction, refused?: true) => {
    const failure = { retryAt: subject.now(), reason: 'no', ...(refused && { refused }) }
    return subject.store.failed(destination, txnId, failure)
  }

  describe('transactions of the outbox', () => {
    beforeEach(async () => void (await importRoom(subject.store)))

    it('hold the events in canonical JSON, byte for byte', async () => {
      const odd = knockOf('odd', '\u{1F600} é \u0001 " \\ \u2028')
      await accept(subject.store, odd)
      await expandAll(subject.store)
      const { events } = await claim()
      expect(events.map(({ eventId }) => eventId)).toEqual([odd.eventId])
      expect(Buffer.from(events[0]?.json ?? []).toString()).toBe(canonicalJson(odd.pdu).toString())
    })

    it('G3: hold at most 512 KiB, and what was given out stays as it is', async () => {
      await enqueue(names(20), 'x'.repeat(60_000))
      const first = await claim()
      const bytes = first.events.reduce((sum, { json }) => sum + json.length + 1, 0)
      expect(first.events).toHaveLength(8)
      expect(bytes).toBeLessThanOrEqual(511 * 1024)
      await fail(first)
      expect((await claim()).events.map(({ eventId }) => eventId)).toEqual(first.events.map(({ eventId }) => eventId))
      await subject.store.delivered(THERE, first.txnId)
      expect([await deliver(), await deliver()]).toEqual([8, 4])
    })

    it('G3: go on by halves after a refusal, at once and under another id, and are whole again when all is through', async () => {
      await enqueue(names(60))
      const first = await claim()
      await subject.store.halve(THERE, first.txnId, 'the server answers 400')
      const second = await claim()
      expect(second).toMatchObject({ attempts: 0, refusals: 0, slow: false })
      expect(second.txnId).not.toBe(first.txnId)
      expect(namesIn(second)).toEqual(names(25))
      const [listed] = await subject.store.listDeliveries(undefined, 1)
      expect(listed).toMatchObject({ waiting: 60, attempts: 0, reason: 'the server answers 400' })
      await subject.store.delivered(THERE, second.txnId)
      // One of the other half is to blame.
      expect(await deliver()).toBe(12)
      await halve()
      const sizes = [await deliver(), await deliver(), await deliver(), await deliver()]
      expect(sizes).toEqual([3, 1, 1, 1])
      expect(await deliver()).toBe(17)
      expect(await dueAt(subject.store, subject.now())).toEqual([])
    })

    it('G3: of one event alone count its refusals, and what follows it stands alone, too', async () => {
      await enqueue(names(10))
      for (let times = 0; times < 3; times++) await halve()
      const alone = await claim()
      expect(namesIn(alone)).toEqual(['k0'])
      await fail(alone, true)
      expect(await claim()).toEqual({ ...alone, attempts: 1, refusals: 1 })
      await fail(alone, true)
      await fail(await claim())
      expect(await claim()).toEqual({ ...alone, attempts: 3, refusals: 2 })
      expect(await subject.store.dropEvent(THERE, id('k0'))).toBe(true)
      await subject.store.release(THERE, alone.txnId)
      const next = await claim()
      expect([namesIn(next), next.refusals, next.attempts]).toEqual([['k1'], 0, 3])
      await subject.store.delivered(THERE, next.txnId)
      expect(await deliver()).toBe(8)
    })

    it('are not halved by an answer to another', async () => {
      await enqueue(names(4))
      const given = await claim()
      await subject.store.halve(THERE, 'mkother', 'x')
      await subject.store.halve('nobody.test' as ServerName, 'mkother', 'x')
      await subject.store.release(THERE, given.txnId, undefined)
      expect(await claim()).toEqual(given)
    })

    it('G3: lose one event where it is dropped, and get another id where they had it', async () => {
      await enqueue(names(60))
      const given = await claim()
      expect(await subject.store.dropEvent(THERE, id('k55'))).toBe(true)
      await subject.store.release(THERE, given.txnId)
      expect(await claim()).toEqual(given)
      expect(await subject.store.dropEvent(THERE, id('k3'))).toBe(true)
      expect(await subject.store.dropEvent(THERE, id('k3'))).toBe(false)
      expect(await subject.store.dropEvent(OTHER, id('k4'))).toBe(false)
      // The answer to what was under way is too late: what was in it goes out again.
      await subject.store.delivered(THERE, given.txnId)
      const next = await claim()
      expect(next.txnId).not.toBe(given.txnId)
      expect(namesIn(next)).toEqual(names(51).filter((name) => name !== 'k3'))
      expect(await subject.store.depth(subject.now())).toMatchObject({ waiting: 58 })
      await subject.store.delivered(THERE, next.txnId)
      expect(await deliver()).toBe(8)
      expect(await subject.store.dropEvent(THERE, id('k59'))).toBe(false)
    })

    it('are due later where nobody can send them now, and no attempt is counted', async () => {
      await enqueue(['k'])
      const given = await claim()
      await subject.store.release(THERE, given.txnId, subject.now() + 700)
      expect(await subject.store.nextDue()).toBe(subject.now() + 700)
      expect(await dueAt(subject.store, subject.now() + 699)).toEqual([])
      subject.advance(700)
      expect(await claim()).toEqual(given)
    })
  })

  describe('servers that answer slowly', () => {
    beforeEach(async () => {
      await importRoom(subject.store, { state: [...sampleState(), member('oz', '@oz:other.test', 'join')] })
    })
    const claimed = async (limit: number, lagging: number) => {
      const found = await subject.store.claim(subject.now(), limit, lagging)
      for (const { destination, txnId } of found) await subject.store.release(destination, txnId)
      return serversOf(found)
    }

    it('G3: come after the others and have the share of those that fail, whatever waits for them then', async () => {
      await enqueue(names(60))
      await subject.store.delivered(THERE, (await claim()).txnId, 'slow')
      expect(await claimed(10, 10)).toEqual([OTHER, THERE])
      expect(await claimed(10, 0)).toEqual([OTHER])
      await subject.store.delivered(THERE, (await claim()).txnId, 'slow')
      // Nothing waits for it now; later something does.
      subject.advance(6 * DAY)
      await enqueue(['late'])
      expect(await claimed(10, 0)).toEqual([OTHER])
      expect(await claim()).toMatchObject({ slow: true, attempts: 0 })
      expect(await subject.store.depth(subject.now())).toMatchObject({ failing: 0 })
    })

    it('are like the others after a quick answer', async () => {
      await enqueue(['k'])
      await subject.store.delivered(THERE, (await claim()).txnId, 'slow')
      await enqueue(['k2'])
      await subject.store.halve(THERE, (await claim()).txnId, 'no', 'quick')
      await enqueue(['k3'])
      expect([...(await claimed(10, 0))].sort()).toEqual([OTHER, THERE])
    })

    it('are slow, too, where they refuse slowly', async () => {
      await enqueue(['k', 'k2'])
      await subject.store.halve(THERE, (await claim()).txnId, 'no', 'slow')
      expect(await claimed(10, 0)).toEqual([OTHER])
      expect(await claim()).toMatchObject({ slow: true, attempts: 0 })
    })

    it('are forgotten after a week', async () => {
      await enqueue(['k'])
      await subject.store.delivered(THERE, (await claim()).txnId, 'slow')
      subject.advance(7 * DAY + 1)
      await subject.store.delivered(OTHER, (await claim(OTHER)).txnId, 'slow')
      await enqueue(['k2'])
      expect(await claimed(10, 0)).toEqual([THERE])
    })
  })

  describe('the list of what waits for a server', () => {
    it('tells of each event, oldest first, page by page', async () => {
      await importRoom(subject.store)
      expect(await subject.store.listWaiting(THERE, 0, 10)).toEqual([])
      await enqueue(['k0', 'k1'])
      const { txnId } = await claim()
      subject.advance(1_000)
      await enqueue(['k2'], 'é')
      const first = await subject.store.listWaiting(THERE, 0, 2)
      const rest = await subject.store.listWaiting(THERE, first.at(-1)?.place ?? 0, 10)
      const told = [...first, ...rest].map(({ place: _, eventId, ...event }) => ({ name: nameOf(eventId), ...event }))
      const waiting = (name: string, text: string) => ({
        ...{ name, roomId: ROOM, bytes: canonicalJson(knockOf(name, text).pdu).length },
      })
      expect(told).toEqual([
        { ...waiting('k0', ''), queuedAt: subject.now() - 1_000, txnId },
        { ...waiting('k1', ''), queuedAt: subject.now() - 1_000, txnId },
        { ...waiting('k2', 'é'), queuedAt: subject.now(), txnId: undefined },
      ])
      expect(await subject.store.listWaiting(OTHER, 0, 10)).toEqual([])
    })
  })
}
