/** Contract of stores: recording a knock. */
import { describe, expect, it } from 'vitest'
import type { UserId } from '../../src/matrix/identifiers.ts'
import type { StoreUnderTest } from './contract.ts'
import {
  ALICE,
  accept,
  branchOf,
  CAROL,
  commitOf,
  DAVE,
  event,
  extremityNames,
  id,
  importRoom,
  knock,
  member,
  membershipOf,
  ROOM,
  sampleState,
} from './sample-room.ts'

export function commitContract(subject: StoreUnderTest): void {
  describe('a commit', () => {
    it('makes the knock the membership and an extremity, and raises the revision but not that of the facts', async () => {
      await importRoom(subject.store)
      expect(await accept(subject.store, knock('k', CAROL, ['bob']))).toEqual({ kind: 'committed', revision: 2 })
      const room = await subject.store.readRoom(ROOM, CAROL)
      expect(room?.head).toMatchObject({ revision: 2, factsRevision: 1 })
      expect(room?.member?.eventId).toBe(id('k'))
      expect(await extremityNames(subject.store)).toEqual(['k'])
    })

    it('gives the knock the depth of the deepest event it names and one, whatever the event says', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('low', CAROL, ['bob'], { depth: 1 }))
      await accept(subject.store, knock('next', DAVE, ['bob', 'low'], { depth: 2 }))
      const selection = await subject.store.readExtremities(ROOM)
      expect(selection?.extremities).toEqual([{ eventId: id('next'), depth: 7 }])
      expect((await branchOf(subject.store, 'low', CAROL))?.depth).toBe(6)
    })

    it('takes out only the extremities that the knock names', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await accept(subject.store, knock('k2', DAVE, ['bob']))
      expect(await extremityNames(subject.store)).toEqual(['k1', 'k2'])
      await accept(subject.store, knock('k3', CAROL, ['k1', 'k2']))
      expect(await extremityNames(subject.store)).toEqual(['k3'])
    })

    it('F10: is written once for an event that comes again, and tells so', async () => {
      await importRoom(subject.store)
      const commit = commitOf(knock('k', CAROL, ['bob']), 1)
      expect((await subject.store.commitKnock(commit)).kind).toBe('committed')
      expect(await subject.store.commitKnock(commit)).toEqual({ kind: 'duplicate' })
      expect((await subject.store.readRoom(ROOM, CAROL))?.head.revision).toBe(2)
      expect(await subject.store.listDecisions({ limit: 9 })).toHaveLength(1)
      while (await subject.store.expand());
      expect((await subject.store.depth(subject.now())).waiting).toBe(1)
    })

    it('F10: the same event many times in flight is one commit, and duplicates for the others', async () => {
      await importRoom(subject.store)
      const commit = commitOf(knock('k', CAROL, ['bob']), 1)
      const outcomes = await Promise.all(Array.from({ length: 30 }, () => subject.store.commitKnock(commit)))
      expect(outcomes.filter(({ kind }) => kind === 'committed')).toHaveLength(1)
      expect(outcomes.filter(({ kind }) => kind === 'duplicate')).toHaveLength(29)
    })

    it('of two users at once both survive', async () => {
      await importRoom(subject.store)
      const users = Array.from({ length: 40 }, (_, at) => `@u${at}:remote.test` as UserId)
      const outcomes = await Promise.all(
        users.map((user, at) => subject.store.commitKnock(commitOf(knock(`k${at}`, user, ['bob']), 1))),
      )
      expect(outcomes.every(({ kind }) => kind === 'committed')).toBe(true)
      const revisions = outcomes.map((outcome) => (outcome.kind === 'committed' ? outcome.revision : 0))
      expect([...revisions].sort((left, right) => left - right)).toEqual(users.map((_, at) => at + 2))
      for (const user of users) expect(await membershipOf(subject.store, user)).toBe('knock')
      expect((await subject.store.roomSummary(ROOM))?.extremities).toBe(40)
    })

    it('is refused as overtaken when the facts have changed since the decision', async () => {
      await importRoom(subject.store)
      await importRoom(subject.store)
      const outcome = await subject.store.commitKnock(commitOf(knock('k', CAROL, ['bob']), 1))
      expect(outcome).toEqual({ kind: 'conflict' })
      expect(await membershipOf(subject.store, CAROL)).toBeUndefined()
      expect(await subject.store.listDecisions({ limit: 9 })).toEqual([])
      expect((await subject.store.depth(subject.now())).waiting).toBe(0)
    })

    it('is refused as overtaken when the membership has changed since the decision, and not when it has the same value', async () => {
      await importRoom(subject.store, { state: [...sampleState(), member('left', CAROL, 'leave')] })
      const stale = commitOf(knock('k1', CAROL, ['bob']), 1, undefined)
      expect(await subject.store.commitKnock(stale)).toEqual({ kind: 'conflict' })
      expect((await subject.store.commitKnock(commitOf(knock('k2', CAROL, ['bob']), 1, 'leave'))).kind).toBe(
        'committed',
      )
      expect(await subject.store.commitKnock(commitOf(knock('k3', CAROL, ['bob']), 1, 'leave'))).toEqual({
        kind: 'conflict',
      })
      expect((await subject.store.commitKnock(commitOf(knock('k4', CAROL, ['bob']), 1, 'knock'))).kind).toBe(
        'committed',
      )
      expect((await subject.store.readRoom(ROOM, CAROL))?.member?.eventId).toBe(id('k4'))
    })

    it('takes a member event without a membership for none, as the rules do', async () => {
      const odd = member('odd', CAROL, 'x', { content: { membership: 5 } })
      await importRoom(subject.store, { state: [...sampleState(), odd] })
      const outcome = await subject.store.commitKnock(commitOf(knock('k', CAROL, ['bob']), 1, undefined))
      expect(outcome.kind).toBe('committed')
    })

    it('is refused as overtaken in a room that is unknown, or in which we are no longer, or on an unknown event', async () => {
      const commit = commitOf(knock('k', CAROL, ['bob']), 1)
      expect(await subject.store.commitKnock(commit)).toEqual({ kind: 'conflict' })
      const left = sampleState().map((item) => (item.eventId === id('alice') ? member('alice', ALICE, 'leave') : item))
      await importRoom(subject.store, { state: left })
      expect(await subject.store.commitKnock(commit)).toEqual({ kind: 'conflict' })
      await importRoom(subject.store)
      const onUnknown = commitOf(knock('u', CAROL, ['bob', 'unheard']), 2)
      expect(await subject.store.commitKnock(onUnknown)).toEqual({ kind: 'conflict' })
      expect(await extremityNames(subject.store)).toEqual(['bob'])
    })

    it('of a knock that came into the room another way is a duplicate, and nothing is written or delivered', async () => {
      const known = knock('k', CAROL, ['bob'])
      const later = event('later', { depth: 7, prev: ['k'] })
      const ways = {
        'as state and extremity': { state: [...sampleState(), known], extremities: [known] },
        'as state, and others came after it': { state: [...sampleState(), known], extremities: [later] },
        'and was answered': { state: [...sampleState(), member('left', CAROL, 'leave')], chain: [known] },
      }
      await importRoom(subject.store)
      for (const [way, parts] of Object.entries(ways)) {
        await importRoom(subject.store, parts)
        const before = await subject.store.roomSummary(ROOM)
        const question = { roomId: ROOM, sender: CAROL, eventId: id('k'), prevEvents: [id('bob')], authEvents: [] }
        expect(await subject.store.readContext(question), way).toMatchObject({ accepted: true, recorded: false })
        expect(await accept(subject.store, known), way).toEqual({ kind: 'duplicate' })
        expect(await subject.store.roomSummary(ROOM), way).toEqual(before)
      }
      expect(await membershipOf(subject.store, CAROL)).toBe('leave')
      expect(await subject.store.listDecisions({ limit: 9 })).toEqual([])
      expect((await subject.store.depth(subject.now())).waiting).toBe(0)
    })

    it('of a knock that only a former import had is a new one', async () => {
      const known = knock('k', CAROL, ['bob'])
      await importRoom(subject.store, { state: [...sampleState(), known], extremities: [known] })
      await importRoom(subject.store)
      expect((await accept(subject.store, known)).kind).toBe('committed')
    })

    it('of a knock whose copy in the room turned out wrongly signed is a new one', async () => {
      const known = knock('k', CAROL, ['bob'])
      await importRoom(subject.store, { state: [...sampleState(), known], unverified: ['k'] })
      await subject.store.settle(ROOM, id('k'), 'wrong')
      expect((await accept(subject.store, known)).kind).toBe('committed')
    })

    it('is told to whoever delivers', async () => {
      let told = 0
      subject.store.onEnqueued(() => told++)
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await accept(subject.store, knock('k', CAROL, ['bob']))
      expect(told).toBe(1)
    })
  })
}
