/** Contract of stores: copying a room out. */
import { describe, expect, it } from 'vitest'
import type { RoomEventList } from '../../src/knock/ports/store.ts'
import type { RoomId, UserId } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import type { StoreUnderTest } from './contract.ts'
import {
  accept,
  CAROL,
  DAVE,
  event,
  id,
  importRoom,
  knock,
  member,
  nameOf,
  ROOM,
  sampleState,
  state,
} from './sample-room.ts'

export function copyContract(subject: StoreUnderTest): void {
  const copied = async (copy = subject.store.copyRoom(ROOM)) => {
    const of = async (list: RoomEventList) => {
      const found: RoomEvent[] = []
      for await (const events of (await copy)?.events(list) ?? []) found.push(...events)
      return found
    }
    return { state: await of('pdus'), chain: await of('auth_chain'), extremities: await of('extremities') }
  }
  const names = (events: readonly RoomEvent[]) => events.map(({ eventId }) => nameOf(eventId)).sort()

  describe('a copy of a room', () => {
    it('is not there for a room that is unknown', async () => {
      expect(await subject.store.copyRoom(ROOM)).toBeUndefined()
    })

    it('has the current state, what came with it, and the extremities, each event in one list', async () => {
      const left = member('left', CAROL, 'leave')
      const before = [state('old', 'm.room.power_levels', {}), event('said', { depth: 6 })]
      await importRoom(subject.store, {
        state: [...sampleState(), left],
        chain: [...before, left],
        extremities: [sampleState()[4] as RoomEvent, before[1] as RoomEvent],
      })
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await accept(subject.store, knock('k2', DAVE, ['k1']))
      const { state: pdus, chain, extremities } = await copied()
      expect(names(pdus)).toEqual(['alice', 'bob', 'create', 'k1', 'k2', 'power', 'rules'])
      expect(names(chain)).toEqual(['left', 'old'])
      expect(names(extremities)).toEqual(['k2', 'said'])
      expect(pdus.find(({ eventId }) => eventId === id('k1'))).toEqual(knock('k1', CAROL, ['bob']))
    })

    it('leaves out what turned out wrongly signed', async () => {
      await importRoom(subject.store, { unverified: ['rules'] })
      await subject.store.settle(ROOM, id('rules'), 'wrong')
      const { state: pdus, chain } = await copied()
      expect([names(pdus), names(chain)]).toEqual([['alice', 'bob', 'create', 'power'], []])
    })

    it('is of one instant, whatever is recorded and imported while it is read', async () => {
      const crowd = Array.from({ length: 450 }, (_, at) => member(`m${at}`, `@m${at}:x.test` as UserId, 'join'))
      await importRoom(subject.store, { state: [...sampleState(), ...crowd] })
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      const copy = subject.store.copyRoom(ROOM)
      await copy
      await accept(subject.store, knock('k2', CAROL, ['k1']))
      await accept(subject.store, knock('k3', DAVE, ['k2']))
      await importRoom(subject.store, { header: { discardKnocks: true } })
      const { state: pdus, chain, extremities } = await copied(copy)
      expect(pdus).toHaveLength(5 + 450 + 1)
      expect(names(pdus)).toContain('k1')
      expect([names(chain), names(extremities)]).toEqual([[], ['k1']])
    })

    it('makes the same room where it is imported', async () => {
      const other = '!copy:here.test' as RoomId
      await importRoom(subject.store, { chain: [state('old', 'm.room.power_levels', {})] })
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await importRoom(subject.store, { ...(await copied()), header: { roomId: other } })
      const summary = { ...(await subject.store.roomSummary(ROOM)), roomId: other, revision: 1 }
      expect(await subject.store.roomSummary(other)).toEqual(summary)
      expect(names((await copied(subject.store.copyRoom(other))).state)).toEqual(names((await copied()).state))
    })
  })
}
