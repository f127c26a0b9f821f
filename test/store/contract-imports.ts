/** Contract of stores: importing a room, and settling signatures later. */
import { describe, expect, it } from 'vitest'
import type { RoomId } from '../../src/matrix/identifiers.ts'
import type { StoreUnderTest } from './contract.ts'
import {
  ALICE,
  accept,
  BOB,
  CAROL,
  event,
  extremityNames,
  HERE,
  id,
  importRoom,
  knock,
  member,
  membershipOf,
  ROOM,
  sampleState,
  state,
} from './sample-room.ts'

const header = { roomId: ROOM, version: '10', ownServer: HERE, discardKnocks: false }

export function importContract(subject: StoreUnderTest): void {
  describe('an import', () => {
    it('shows nothing before the swap and all of it after', async () => {
      const staging = await subject.store.beginImport(header)
      await staging.addState(sampleState().map((item) => ({ ...item, verified: true })))
      await staging.addExtremities(sampleState().slice(-1))
      expect(await subject.store.readRoom(ROOM, BOB)).toBeUndefined()
      expect(await subject.store.listRooms(undefined, 10)).toEqual([])
      expect(await staging.swap()).toEqual({ kind: 'imported', revision: 1, keptKnocks: 0, droppedKnocks: 0 })
      expect(await membershipOf(subject.store, BOB)).toBe('join')
    })

    it('shows nothing of its events before the swap to a room that is in use', async () => {
      await importRoom(subject.store)
      const staging = await subject.store.beginImport(header)
      const crowd = Array.from({ length: 600 }, (_, at) => member(`m${at}`, `@m${at}:new.test`, 'join'))
      await staging.addState(crowd.map((item) => ({ ...item, verified: false })))
      const question = { roomId: ROOM, sender: BOB, eventId: id('k'), prevEvents: [id('m1')], authEvents: [id('m1')] }
      const context = await subject.store.readContext(question)
      expect([context?.branches.size, context?.authEvents.size]).toEqual([0, 0])
      expect(await subject.store.unverifiedEvents(10)).toEqual([])
      expect(await subject.store.hasJoinedMember(ROOM, 'new.test' as typeof HERE)).toBe(false)
      await staging.abort()
    })

    it('leaves no trace when it is aborted', async () => {
      await importRoom(subject.store)
      const staging = await subject.store.beginImport(header)
      await staging.addState([{ ...member('banned', CAROL, 'ban'), verified: true }])
      await staging.abort()
      await subject.store.prune()
      expect(await membershipOf(subject.store, CAROL)).toBeUndefined()
      expect((await subject.store.readRoom(ROOM, CAROL))?.head.revision).toBe(1)
      const first = await subject.store.beginImport({ ...header, roomId: '!b:here.test' as RoomId })
      await first.abort()
      await subject.store.prune()
      expect(await subject.store.listRooms(undefined, 9)).toHaveLength(1)
    })

    it('may arrive in chunks of any size and order', async () => {
      const staging = await subject.store.beginImport(header)
      await staging.addExtremities(sampleState().slice(-1))
      for (const item of [...sampleState()].reverse()) await staging.addState([{ ...item, verified: true }])
      await staging.addState([])
      await staging.addAuthChain(sampleState())
      expect((await staging.swap()).kind).toBe('imported')
      expect(await subject.store.roomSummary(ROOM)).toMatchObject({ members: 2, servers: 2, extremities: 1 })
    })

    it('raises both revisions, also when nothing changed', async () => {
      await importRoom(subject.store)
      await importRoom(subject.store)
      expect((await subject.store.readRoom(ROOM, BOB))?.head).toMatchObject({ revision: 2, factsRevision: 2 })
      expect((await subject.store.readFacts(ROOM))?.factsRevision).toBe(2)
    })

    it('replaces members, servers, facts and extremities', async () => {
      await importRoom(subject.store)
      const others = [
        ...sampleState().slice(0, 4),
        member('eve', '@eve:new.test', 'join', { depth: 7 }),
        state('name', 'm.room.name', { name: 'New' }),
      ]
      await importRoom(subject.store, { state: others, extremities: [event('tip', { depth: 8 })] })
      expect(await membershipOf(subject.store, BOB)).toBeUndefined()
      expect(await subject.store.hasJoinedMember(ROOM, 'there.test' as typeof HERE)).toBe(false)
      expect(await subject.store.hasJoinedMember(ROOM, 'new.test' as typeof HERE)).toBe(true)
      expect(await extremityNames(subject.store)).toEqual(['tip'])
      expect((await subject.store.roomSummary(ROOM))?.name).toBe('New')
    })

    it('serves the copy that is state where the auth chain has another of the same event', async () => {
      const full = state('name', 'm.room.name', { name: 'Gone' })
      const redacted = state('name', 'm.room.name', {})
      await importRoom(subject.store, { state: [...sampleState(), redacted], chain: [full] })
      expect((await subject.store.roomSummary(ROOM))?.name).toBeUndefined()
      await importRoom(subject.store, { state: [...sampleState(), full], chain: [redacted] })
      expect((await subject.store.roomSummary(ROOM))?.name).toBe('Gone')
      const staging = await subject.store.beginImport(header)
      await staging.addAuthChain([full])
      await staging.addExtremities(sampleState().slice(-1))
      await staging.addState([...sampleState(), redacted].map((item) => ({ ...item, verified: true })))
      expect((await staging.swap()).kind).toBe('imported')
      expect((await subject.store.roomSummary(ROOM))?.name).toBeUndefined()
    })

    it.each([
      ['another create event', { state: [state('create2', 'm.room.create', {}), ...sampleState().slice(1)] }],
      ['another room version', { header: { version: '11' } }],
      ['no create event', { state: sampleState().slice(1) }],
      ['two events for one state key', { state: [...sampleState(), member('bob2', BOB, 'leave')] }],
    ])('with %s is refused with the reason, and nothing is changed', async (_, parts) => {
      await importRoom(subject.store)
      const outcome = await importRoom(subject.store, parts)
      expect(outcome).toEqual({ kind: 'refused', reason: expect.stringMatching(/create|version|two events/) })
      expect(await subject.store.readRoom(ROOM, BOB)).toMatchObject({
        head: { revision: 1, version: '10' },
        member: { eventId: id('bob') },
      })
    })

    it('lets knocks be recorded while it stages, and does not lose them', async () => {
      await importRoom(subject.store)
      const staging = await subject.store.beginImport(header)
      await staging.addState(sampleState().map((item) => ({ ...item, verified: true })))
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await staging.addExtremities(sampleState().slice(-1))
      await accept(subject.store, knock('k2', CAROL, ['k1']))
      expect(await staging.swap()).toEqual({ kind: 'imported', revision: 4, keptKnocks: 1, droppedKnocks: 0 })
      expect((await subject.store.readRoom(ROOM, CAROL))?.member?.eventId).toBe(id('k2'))
      expect(await extremityNames(subject.store)).toEqual(['bob', 'k2'])
    })
  })

  describe('a signature that could not be checked at import', () => {
    const unverified = ['rules', 'bob', 'alice']
    const names = async (limit: number) =>
      (await subject.store.unverifiedEvents(limit)).map(({ roomId, event: { eventId } }) => `${roomId} ${eventId}`)

    it('is asked for until it is settled, the rest too where some cannot be had', async () => {
      await importRoom(subject.store, { unverified })
      expect((await names(10)).sort()).toEqual(unverified.map((name) => `${ROOM} ${id(name)}`).sort())
      const asked = new Set([...(await names(2)), ...(await names(2))])
      expect(asked.size).toBe(3)
      await subject.store.settle(ROOM, id('rules'), 'verified')
      expect(await names(10)).toHaveLength(2)
      expect((await subject.store.readRoom(ROOM, BOB))?.head).toMatchObject({ revision: 1, factsRevision: 1 })
    })

    it('leaves the event out of the facts once it is found wrong, and raises both revisions', async () => {
      await importRoom(subject.store, { unverified })
      await subject.store.settle(ROOM, id('rules'), 'wrong')
      expect((await subject.store.readRoom(ROOM, BOB))?.head).toMatchObject({ revision: 2, factsRevision: 2 })
      const types = (await subject.store.readFacts(ROOM))?.state.map(({ pdu }) => pdu.type)
      expect(types?.sort()).toEqual(['m.room.create', 'm.room.power_levels'])
      const question = {
        roomId: ROOM,
        sender: CAROL,
        eventId: id('k'),
        prevEvents: [id('bob')],
        authEvents: [id('rules')],
      }
      const context = await subject.store.readContext(question)
      expect(context?.branches.get(id('bob'))?.joinRules).toBeUndefined()
      expect(context?.authEvents.size).toBe(0)
    })

    it('says which of the facts had to be left out, until the room is imported again', async () => {
      const { store } = subject
      const setAside = async () => (await store.readFacts(ROOM))?.flaws.map(({ type }) => type)
      const acl = state('acl', 'm.room.server_acl', { allow: ['*'] })
      const odd = event('odd', { type: 'm.room.policy', stateKey: 'odd' })
      const parts = { state: [...sampleState(), acl, odd], unverified: ['acl', 'odd', 'bob', 'create', 'rules'] }
      await importRoom(store, parts)
      expect(await setAside()).toEqual([])
      for (const name of ['acl', 'odd', 'bob']) await store.settle(ROOM, id(name), 'wrong')
      await store.settle(ROOM, id('rules'), 'verified')
      expect(await setAside()).toEqual(['m.room.server_acl'])
      await store.settle(ROOM, id('create'), 'wrong')
      expect([...((await setAside()) ?? [])].sort()).toEqual(['m.room.create', 'm.room.server_acl'])
      await importRoom(store, parts)
      expect(await setAside()).toEqual([])
    })

    it('ends the residency with the only joined member of ours', async () => {
      await importRoom(subject.store, { unverified })
      await subject.store.settle(ROOM, id('alice'), 'wrong')
      expect((await subject.store.readRoom(ROOM, ALICE))?.head.resident).toBe(false)
      expect(await membershipOf(subject.store, ALICE)).toBeUndefined()
      expect(await subject.store.hasJoinedMember(ROOM, HERE)).toBe(false)
      expect(await subject.store.roomSummary(ROOM)).toMatchObject({ members: 1, servers: 1 })
    })

    it('that is settled twice, or was never open, changes nothing', async () => {
      await importRoom(subject.store, { unverified })
      await subject.store.settle(ROOM, id('rules'), 'verified')
      await subject.store.settle(ROOM, id('rules'), 'wrong')
      await subject.store.settle(ROOM, id('create'), 'wrong')
      await subject.store.settle(ROOM, id('unheard'), 'wrong')
      expect((await subject.store.readRoom(ROOM, BOB))?.head.revision).toBe(1)
      expect((await subject.store.readFacts(ROOM))?.state).toHaveLength(3)
    })
  })
}
