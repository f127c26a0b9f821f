/** Contract of stores: what an import does to the knocks that were accepted here. */
import { describe, expect, it } from 'vitest'
import type { StoreUnderTest } from './contract.ts'
import {
  accept,
  BOB,
  CAROL,
  DAVE,
  event,
  extremityNames,
  type HERE,
  id,
  importRoom,
  knock,
  member,
  membershipOf,
  ROOM,
  sampleState,
} from './sample-room.ts'

export function reimportContract(subject: StoreUnderTest): void {
  const memberOf = async (user: typeof CAROL) => (await subject.store.readRoom(ROOM, user))?.member?.eventId
  const reimport = (...more: ReturnType<typeof member>[]) =>
    importRoom(subject.store, { state: [...sampleState(), ...more] })

  describe('a knock accepted here and absent from the file', () => {
    it('stays as membership and extremity', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      expect(await reimport()).toEqual({ kind: 'imported', revision: 3, keptKnocks: 1, droppedKnocks: 0 })
      expect(await memberOf(CAROL)).toBe(id('k'))
      expect(await extremityNames(subject.store)).toEqual(['bob', 'k'])
      expect((await accept(subject.store, knock('again', CAROL, ['bob', 'k']))).kind).toBe('committed')
    })

    it('stays as membership only where another was built on it', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await accept(subject.store, knock('k2', DAVE, ['k1']))
      expect(await reimport()).toMatchObject({ keptKnocks: 2, droppedKnocks: 0 })
      expect([await memberOf(CAROL), await memberOf(DAVE)]).toEqual([id('k1'), id('k2')])
      expect(await extremityNames(subject.store)).toEqual(['bob', 'k2'])
    })

    it('stays through one import after the other', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      for (let round = 0; round < 3; round++)
        expect(await reimport()).toMatchObject({ keptKnocks: 1, droppedKnocks: 0 })
      expect(await memberOf(CAROL)).toBe(id('k'))
      expect(await extremityNames(subject.store)).toEqual(['bob', 'k'])
    })

    it('stays over an older member event of the file', async () => {
      const left = member('left', CAROL, 'leave', { prev: ['bob'], auth: ['create'] })
      await importRoom(subject.store, { state: [...sampleState(), left] })
      await accept(subject.store, knock('k', CAROL, ['bob']))
      expect(await reimport(left)).toMatchObject({ keptKnocks: 1, droppedKnocks: 0 })
      expect(await memberOf(CAROL)).toBe(id('k'))
    })

    it('stays over a join of the file that does not descend from it, and that join counts no longer', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      await reimport(member('joined', CAROL, 'join', { prev: ['bob'] }))
      expect(await memberOf(CAROL)).toBe(id('k'))
      expect(await subject.store.hasJoinedMember(ROOM, 'remote.test' as typeof HERE)).toBe(false)
      expect(await subject.store.roomSummary(ROOM)).toMatchObject({ members: 2, servers: 2 })
    })

    it('gives way to a member event of the file whose auth_events name it', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      const answer = member('invited', CAROL, 'invite', { auth: ['create', 'k'], prev: ['bob'] })
      expect(await reimport(answer)).toMatchObject({ keptKnocks: 0, droppedKnocks: 1 })
      expect(await memberOf(CAROL)).toBe(id('invited'))
      expect(await extremityNames(subject.store)).toEqual(['bob'])
    })

    it('gives way to a member event of the file that descends from it over several events', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      const chain = [
        event('step1', { depth: 7, prev: ['k'] }),
        event('step2', { depth: 8, prev: ['step1'], auth: ['create'] }),
      ]
      const answer = member('left', CAROL, 'leave', { depth: 9, prev: ['step2'] })
      const outcome = await importRoom(subject.store, { state: [...sampleState(), answer], chain })
      expect(outcome).toMatchObject({ keptKnocks: 0, droppedKnocks: 1 })
      expect(await memberOf(CAROL)).toBe(id('left'))
    })

    it('gives way to a ban of the file, in whatever order they came', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      const outcome = await reimport(member('banned', CAROL, 'ban', { prev: ['bob'] }))
      expect(outcome).toMatchObject({ keptKnocks: 0, droppedKnocks: 1 })
      expect(await memberOf(CAROL)).toBe(id('banned'))
      expect(await extremityNames(subject.store)).toEqual(['bob'])
    })

    it('goes with discardKnocks', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await accept(subject.store, knock('k2', DAVE, ['bob']))
      const outcome = await importRoom(subject.store, { header: { discardKnocks: true } })
      expect(outcome).toMatchObject({ keptKnocks: 0, droppedKnocks: 2 })
      expect(await membershipOf(subject.store, CAROL)).toBeUndefined()
      expect(await extremityNames(subject.store)).toEqual(['bob'])
    })
  })

  describe('a knock accepted here that the file has', () => {
    it('is what the file says, and is kept again by a file that does not have it', async () => {
      await importRoom(subject.store)
      const carol = knock('k', CAROL, ['bob'])
      await accept(subject.store, carol)
      expect(await reimport(carol)).toMatchObject({ keptKnocks: 0, droppedKnocks: 0 })
      expect(await memberOf(CAROL)).toBe(id('k'))
      expect(await extremityNames(subject.store)).toEqual(['bob'])
      expect(await reimport()).toMatchObject({ keptKnocks: 1, droppedKnocks: 0 })
      expect(await memberOf(CAROL)).toBe(id('k'))
    })

    it('in its auth chain only is not the membership any more', async () => {
      await importRoom(subject.store)
      const carol = knock('k', CAROL, ['bob'])
      await accept(subject.store, carol)
      const outcome = await importRoom(subject.store, { chain: [carol] })
      expect(outcome).toMatchObject({ keptKnocks: 0, droppedKnocks: 1 })
      expect(await memberOf(CAROL)).toBeUndefined()
    })
  })

  describe('a template given out before an import', () => {
    it('stays usable after it', async () => {
      await importRoom(subject.store)
      await importRoom(subject.store, { extremities: [event('newer', { depth: 9 })] })
      expect(await accept(subject.store, knock('k', CAROL, ['bob']))).toMatchObject({ kind: 'committed' })
      expect(await extremityNames(subject.store)).toEqual(['k', 'newer'])
      const depths = (await subject.store.readExtremities(ROOM))?.extremities.map(({ depth }) => depth).sort()
      expect(depths).toEqual([6, 9])
      expect(await membershipOf(subject.store, BOB)).toBe('join')
    })
  })
}
