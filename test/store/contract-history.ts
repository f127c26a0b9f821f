/** Contract of stores: the state before an event, as long as history is kept. */
import { describe, expect, it } from 'vitest'
import { DAY, type StoreUnderTest } from './contract.ts'
import {
  ALICE,
  accept,
  BOB,
  branchOf,
  CAROL,
  DAVE,
  id,
  importRoom,
  knock,
  member,
  ROOM,
  sampleState,
  state,
} from './sample-room.ts'

export function historyContract(subject: StoreUnderTest): void {
  const context = async (prev: readonly string[], auth: readonly string[], eventId = 'none') =>
    subject.store.readContext({
      roomId: ROOM,
      sender: CAROL,
      eventId: id(eventId),
      prevEvents: prev.map(id),
      authEvents: auth.map(id),
    })

  describe('the state before an event', () => {
    it('is the imported state after each of the extremities of the import', async () => {
      await importRoom(subject.store)
      const branch = await branchOf(subject.store, 'bob', BOB)
      expect(branch).toMatchObject({ eventId: id('bob'), depth: 5 })
      expect(branch?.joinRules?.eventId).toBe(id('rules'))
      expect(branch?.member?.eventId).toBe(id('bob'))
      expect((await branchOf(subject.store, 'bob', CAROL))?.member).toBeUndefined()
    })

    it('is that of the revision at which the event became an extremity, not that of now', async () => {
      await importRoom(subject.store, { state: [...sampleState(), member('left', CAROL, 'leave')] })
      await accept(subject.store, knock('dave', DAVE, ['bob']))
      await accept(subject.store, knock('carol', CAROL, ['dave']))
      expect((await branchOf(subject.store, 'bob', CAROL))?.member?.eventId).toBe(id('left'))
      expect((await branchOf(subject.store, 'dave', CAROL))?.member?.eventId).toBe(id('left'))
      expect((await branchOf(subject.store, 'carol', CAROL))?.member?.eventId).toBe(id('carol'))
      expect((await branchOf(subject.store, 'bob', DAVE))?.member).toBeUndefined()
    })

    it('is unknown after an event that never was an extremity here, be it stored or not', async () => {
      await importRoom(subject.store)
      const found = await context(['bob', 'rules', 'unheard'], [])
      expect([...(found?.branches.keys() ?? [])]).toEqual([id('bob')])
    })

    it('stays known after another import, with the state of that time', async () => {
      await importRoom(subject.store)
      const closed = sampleState().map((item) =>
        item.eventId === id('rules') ? state('closed', 'm.room.join_rules', { join_rule: 'invite' }) : item,
      )
      await importRoom(subject.store, {
        state: closed,
        extremities: [state('closed', 'm.room.join_rules', {}, { depth: 9 })],
      })
      expect((await branchOf(subject.store, 'bob', CAROL))?.joinRules?.eventId).toBe(id('rules'))
      expect(await branchOf(subject.store, 'closed', CAROL)).toMatchObject({
        depth: 9,
        joinRules: { eventId: id('closed') },
      })
    })

    it('is that of the newest import for an event that is an extremity of both', async () => {
      await importRoom(subject.store)
      await importRoom(subject.store, { state: [...sampleState(), member('banned', CAROL, 'ban')] })
      expect((await branchOf(subject.store, 'bob', CAROL))?.member?.eventId).toBe(id('banned'))
    })

    it('is forgotten when the history ends, but never that after a present extremity', async () => {
      await importRoom(subject.store, { extremities: [...sampleState().slice(-1), member('side', ALICE, 'join')] })
      await accept(subject.store, knock('k1', DAVE, ['bob']))
      await importRoom(subject.store, {
        state: sampleState(),
        extremities: [member('newer', ALICE, 'join', { depth: 8 })],
      })
      subject.advance(DAY - 1)
      expect((await branchOf(subject.store, 'bob', CAROL))?.depth).toBe(5)
      expect((await branchOf(subject.store, 'side', CAROL))?.depth).toBe(1)
      subject.advance(1)
      for (const when of ['before the rows are removed', 'after']) {
        expect(await branchOf(subject.store, 'bob', CAROL), when).toBeUndefined()
        expect(await branchOf(subject.store, 'side', CAROL), when).toBeUndefined()
        expect((await branchOf(subject.store, 'newer', CAROL))?.depth, when).toBe(8)
        expect((await branchOf(subject.store, 'k1', DAVE))?.member?.eventId, when).toBe(id('k1'))
        await subject.store.prune()
      }
      expect(await subject.store.readRoom(ROOM, BOB)).toMatchObject({ member: { eventId: id('bob') } })
    })

    it('of an old extremity that is still one outlives changes that are forgotten', async () => {
      await importRoom(subject.store, { extremities: [...sampleState().slice(-1), member('side', ALICE, 'join')] })
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await accept(subject.store, knock('k2', CAROL, ['k1']))
      subject.advance(2 * DAY)
      await subject.store.prune()
      expect(await branchOf(subject.store, 'k1', CAROL)).toBeUndefined()
      expect((await branchOf(subject.store, 'side', CAROL))?.joinRules?.eventId).toBe(id('rules'))
      expect((await branchOf(subject.store, 'k2', CAROL))?.member?.eventId).toBe(id('k2'))
    })
  })

  describe('what send_knock reads', () => {
    it('names auth events out of state, auth chain, former state and accepted knocks, and no others', async () => {
      await importRoom(subject.store, { chain: [state('old', 'm.room.power_levels', {})] })
      await accept(subject.store, knock('k', CAROL, ['bob']))
      const others = sampleState().filter(({ eventId }) => eventId !== id('power'))
      await importRoom(subject.store, { state: others })
      const found = await context([], ['create', 'power', 'old', 'k', 'unheard'])
      expect([...(found?.authEvents.keys() ?? [])]).toEqual(['create', 'power', 'old', 'k'].map(id))
      expect(found?.authEvents.get(id('power'))?.pdu.type).toBe('m.room.power_levels')
    })

    it('does not name events of another room', async () => {
      await importRoom(subject.store)
      await importRoom(subject.store, {
        state: [...sampleState(), state('secret', 'm.room.name', {})],
        header: { roomId: '!b:here.test' as typeof ROOM },
      })
      const found = await context(['secret'], ['secret'])
      expect(found?.authEvents.size).toBe(0)
      expect(found?.branches.size).toBe(0)
    })

    it('tells whether the event was accepted before, for ever', async () => {
      await importRoom(subject.store)
      expect((await context([], [], 'k'))?.accepted).toBe(false)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      expect(await context([], [], 'k')).toMatchObject({ accepted: true, recorded: true, member: { eventId: id('k') } })
      await importRoom(subject.store, { header: { discardKnocks: true } })
      subject.advance(3 * DAY)
      await subject.store.prune()
      expect(await context([], [], 'k')).toMatchObject({ accepted: true, recorded: true, member: undefined })
    })
  })
}
