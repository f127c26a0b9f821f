/** Contract of stores: attempts to hand a knock over whose outcome is not known. */
import { describe, expect, it } from 'vitest'
import type { KnockAttempt } from '../../src/knock/ports/rooms.ts'
import { DAY, type StoreUnderTest } from './contract.ts'
import { BOB, CAROL, commitOf, DAVE, decision, id, importRoom, knock, nameOf } from './sample-room.ts'

export function attemptContract(subject: StoreUnderTest): void {
  describe('an attempt', () => {
    const attempt = (name: string, parts: Partial<KnockAttempt['decision']> = {}): KnockAttempt => ({
      event: knock(name, CAROL, ['bob']),
      decision: decision({ eventId: id(name), time: subject.now(), ...parts }),
    })
    const names = async (limit = 9, after?: KnockAttempt) =>
      (await subject.store.listAttempts(limit, after)).map(({ event }) => nameOf(event.eventId))
    const inTheRoom = (name: string) => ({
      ...commitOf(knock(name, CAROL, ['bob']), 1),
      expect: 'in the room' as const,
    })

    it('comes back as it was given, until it ends', async () => {
      const odd = { event: knock('k', CAROL, ['bob'], { content: { reason: 'a\0b', membership: 'knock' } }) }
      const begun = { ...attempt('k', { rule: 'auth v10 4.7.3', facts: { ...decision().facts, ageMs: 7 } }), ...odd }
      expect(await subject.store.beginAttempt(begun)).toBe(true)
      expect(await subject.store.listAttempts(9)).toEqual([begun])
      await subject.store.endAttempt(id('other'))
      expect(await names()).toEqual(['k'])
      await subject.store.endAttempt(id('k'))
      expect(await names()).toEqual([])
    })

    it('is one for each event, and the first of them', async () => {
      const first = attempt('k')
      await subject.store.beginAttempt(first)
      subject.advance(5)
      expect(await subject.store.beginAttempt(attempt('k'))).toBe(true)
      expect(await subject.store.listAttempts(9)).toEqual([first])
    })

    it('is listed after those that began before it, some at a time', async () => {
      for (const name of ['d', 'b', 'c']) await subject.store.beginAttempt(attempt(name))
      subject.advance(1)
      await subject.store.beginAttempt(attempt('a'))
      expect(await names()).toEqual(['b', 'c', 'd', 'a'])
      const [, second] = await subject.store.listAttempts(2)
      expect(await names(1, second)).toEqual(['d'])
      await subject.store.endAttempt(id('c'))
      expect(await names(9, second)).toEqual(['d', 'a'])
    })

    it('ends with the record of its event, and no other does', async () => {
      await importRoom(subject.store)
      for (const name of ['k', 'other']) await subject.store.beginAttempt(attempt(name))
      expect(await subject.store.commitKnock(inTheRoom('k'))).toMatchObject({ kind: 'committed' })
      expect(await names()).toEqual(['other'])
    })

    it('ends too where its event turns out to be recorded', async () => {
      await importRoom(subject.store)
      await subject.store.commitKnock(inTheRoom('k'))
      await subject.store.beginAttempt(attempt('k'))
      expect(await subject.store.commitKnock(inTheRoom('k'))).toEqual({ kind: 'duplicate' })
      expect(await names()).toEqual([])
    })

    it('stays where its event could not be recorded', async () => {
      await subject.store.beginAttempt(attempt('k'))
      expect(await subject.store.commitKnock(inTheRoom('k'))).toEqual({ kind: 'conflict' })
      expect(await names()).toEqual(['k'])
    })

    it('outlives an import of its room', async () => {
      await importRoom(subject.store)
      await subject.store.beginAttempt(attempt('k'))
      await importRoom(subject.store, { header: { discardKnocks: true } })
      expect(await names()).toEqual(['k'])
    })

    it('is given up a day after it began', async () => {
      await subject.store.beginAttempt(attempt('k'))
      subject.advance(1)
      await subject.store.beginAttempt({ ...attempt('younger'), event: knock('younger', DAVE, ['bob']) })
      subject.advance(DAY - 2)
      await subject.store.prune()
      expect(await names()).toEqual(['k', 'younger'])
      subject.advance(1)
      await subject.store.prune()
      expect(await names()).toEqual(['younger'])
    })

    it('is not kept where ten thousand are, and one more is once one of them has ended', async () => {
      const event = knock('full', BOB, ['bob'])
      const begin = (at: number) =>
        subject.store.beginAttempt({ ...attempt('k'), event: { ...event, eventId: id(`${at}`) } })
      for (let at = 0; at < 10_000; at += 500) {
        await Promise.all(Array.from({ length: 500 }, (_, more) => begin(at + more)))
      }
      expect(await begin(10_000)).toBe(true)
      expect(await subject.store.listAttempts(20_000)).toHaveLength(10_000)
      await subject.store.endAttempt(id('77'))
      await begin(10_001)
      const kept = (await subject.store.listAttempts(20_000)).map(({ event: { eventId } }) => eventId)
      expect([kept.length, kept.includes(id('10000')), kept.includes(id('10001'))]).toEqual([10_000, false, true])
    })
  })
}
