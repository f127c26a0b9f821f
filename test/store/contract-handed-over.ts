/** Contract of stores: recording a knock that a homeserver has taken into the room already. */
import { describe, expect, it } from 'vitest'
import type { ServerName } from '../../src/matrix/identifiers.ts'
import type { StoreUnderTest } from './contract.ts'
import {
  accept,
  branchOf,
  CAROL,
  commitOf,
  DAVE,
  extremityNames,
  id,
  importRoom,
  knock,
  member,
  membershipOf,
  ROOM,
  sampleState,
} from './sample-room.ts'

export function handedOverContract(subject: StoreUnderTest): void {
  describe('a knock that is in the room', () => {
    const handedOver = (name: string, prev: readonly string[], depth = 6) => ({
      ...commitOf(knock(name, CAROL, prev, { depth }), 77, 'ban'),
      expect: 'in the room' as const,
    })

    it('is recorded whatever is known of the room', async () => {
      await importRoom(subject.store, { state: [...sampleState(), member('away', CAROL, 'ban')] })
      expect(await subject.store.commitKnock(handedOver('k', ['unheard'], 40))).toEqual({
        kind: 'committed',
        revision: 2,
      })
      expect(await membershipOf(subject.store, CAROL)).toBe('knock')
      expect(await extremityNames(subject.store)).toEqual(['bob', 'k'])
      expect((await branchOf(subject.store, 'k', CAROL))?.depth).toBe(40)
      expect(await subject.store.listDecisions({ limit: 9 })).toHaveLength(1)
    })

    it('counts its sender no longer among the joined, where the store had not heard of the leave', async () => {
      const crowd = [member('in', CAROL, 'join'), member('too', DAVE, 'join')]
      await importRoom(subject.store, { state: [...sampleState(), ...crowd] })
      const remote = 'remote.test' as ServerName
      await subject.store.commitKnock(handedOver('k', ['bob']))
      expect(await subject.store.roomSummary(ROOM)).toMatchObject({ members: 3, servers: 3 })
      await subject.store.commitKnock({
        ...commitOf(knock('k2', DAVE, ['bob']), 77, 'join'),
        expect: 'in the room',
      })
      expect(await subject.store.roomSummary(ROOM)).toMatchObject({ members: 2, servers: 2 })
      expect(await subject.store.hasJoinedMember(ROOM, remote)).toBe(false)
    })

    it('takes its place behind what it names where that is known', async () => {
      await importRoom(subject.store)
      await subject.store.commitKnock(handedOver('k', ['bob'], 40))
      expect(await extremityNames(subject.store)).toEqual(['k'])
      expect((await branchOf(subject.store, 'k', CAROL))?.depth).toBe(6)
    })

    it('is recorded once, also where the room was read with it meanwhile', async () => {
      const known = knock('k', CAROL, ['bob'])
      await importRoom(subject.store, { state: [...sampleState(), known], extremities: [known] })
      expect((await subject.store.commitKnock(handedOver('k', ['bob']))).kind).toBe('committed')
      expect(await subject.store.commitKnock(handedOver('k', ['bob']))).toEqual({ kind: 'duplicate' })
      expect(await extremityNames(subject.store)).toEqual(['k'])
      expect(await membershipOf(subject.store, CAROL)).toBe('knock')
      while (await subject.store.expand());
      expect((await subject.store.depth(subject.now())).waiting).toBe(1)
    })

    it('is delivered by us to nobody where the homeserver delivers it', async () => {
      await importRoom(subject.store)
      await subject.store.commitKnock({ ...handedOver('k', ['bob']), skipServers: 'all' })
      while (await subject.store.expand());
      expect((await subject.store.depth(subject.now())).waiting).toBe(0)
      await accept(subject.store, knock('other', DAVE, ['k']))
      while (await subject.store.expand());
      const [transaction] = await subject.store.claim(subject.now(), 9)
      expect(transaction?.events.map(({ eventId }) => eventId)).toEqual([id('other')])
    })
  })
}
