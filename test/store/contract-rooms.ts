/** Contract of stores: reading a room. */
import { describe, expect, it } from 'vitest'
import { FACT_TYPES } from '../../src/knock/fact-types.ts'
import type { RoomId, ServerName } from '../../src/matrix/identifiers.ts'
import type { StoreUnderTest } from './contract.ts'
import {
  ALICE,
  accept,
  type BOB,
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

export function roomContract(subject: StoreUnderTest): void {
  describe('a room', () => {
    it('is unknown before it is imported', async () => {
      const { store } = subject
      expect(await store.readRoom(ROOM, CAROL)).toBeUndefined()
      expect(await store.readFacts(ROOM)).toBeUndefined()
      expect(await store.readExtremities(ROOM)).toBeUndefined()
      expect(await store.roomSummary(ROOM)).toBeUndefined()
      expect(await store.hasJoinedMember(ROOM, HERE)).toBe(false)
      const question = { roomId: ROOM, sender: CAROL, eventId: id('k'), prevEvents: [], authEvents: [] }
      expect(await store.readContext(question)).toBeUndefined()
    })

    it('shows its numbers and the member event of one user', async () => {
      await importRoom(subject.store)
      const head = { roomId: ROOM, version: '10', revision: 1, factsRevision: 1, resident: true }
      expect(await subject.store.readRoom(ROOM, CAROL)).toEqual({ head, member: undefined })
      const alice = await subject.store.readRoom(ROOM, ALICE)
      expect(alice?.member?.eventId).toBe(id('alice'))
      expect(alice?.member?.pdu.content).toEqual({ membership: 'join' })
    })

    it('is resident only while our own server has a joined member', async () => {
      const left = sampleState().map((item) => (item.eventId === id('alice') ? member('alice', ALICE, 'leave') : item))
      await importRoom(subject.store, { state: left })
      expect((await subject.store.readRoom(ROOM, CAROL))?.head.resident).toBe(false)
      await importRoom(subject.store)
      expect((await subject.store.readRoom(ROOM, CAROL))?.head.resident).toBe(true)
    })

    it('has as facts every type of state that a knock reads, with an empty state key only', async () => {
      const facts = FACT_TYPES.filter((type) => !['m.room.create', 'm.room.join_rules'].includes(type))
      const others = [
        event('odd', { type: 'm.room.topic', stateKey: 'x', content: { topic: 'not this one' } }),
        state('other', 'm.room.history_visibility', {}),
      ]
      const extra = facts
        .filter((type) => type !== 'm.room.power_levels')
        .map((type) => state(type, type, { of: type }))
      await importRoom(subject.store, { state: [...sampleState(), ...extra, ...others] })
      const record = await subject.store.readFacts(ROOM)
      expect(record?.factsRevision).toBe(1)
      expect(record?.state.map(({ pdu }) => pdu.type).sort()).toEqual([...FACT_TYPES].sort())
      expect(record?.state.every(({ pdu }) => pdu.state_key === '')).toBe(true)
    })

    it('knows which servers have a joined member', async () => {
      await importRoom(subject.store, { state: [...sampleState(), member('gone', '@x:gone.test', 'leave')] })
      const joined = (server: string) => subject.store.hasJoinedMember(ROOM, server as ServerName)
      expect([await joined('here.test'), await joined('there.test'), await joined('gone.test')]).toEqual([
        true,
        true,
        false,
      ])
    })

    it('keeps hostile keys of an event as they came', async () => {
      const content = JSON.parse('{"name":"n","__proto__":{"a":1},"constructor":2,"10":1,"9":2}')
      await importRoom(subject.store, { state: [...sampleState(), state('name', 'm.room.name', content)] })
      const name = (await subject.store.readFacts(ROOM))?.state.find(({ pdu }) => pdu.type === 'm.room.name')
      expect(JSON.parse(JSON.stringify(name?.pdu.content))).toEqual(content)
      expect(Object.keys(name?.pdu.content ?? {})).toContain('__proto__')
    })

    it('is listed in the order of room ids, a page at a time, with its name and counts', async () => {
      for (const name of ['!c:here.test', '!a:here.test', '!b:here.test'] as RoomId[]) {
        const named = [...sampleState(), state('name', 'm.room.name', { name: `Room ${name}` })]
        await importRoom(subject.store, { state: named, header: { roomId: name } })
      }
      const first = await subject.store.listRooms(undefined, 2)
      expect(first.map(({ roomId }) => roomId)).toEqual(['!a:here.test', '!b:here.test'])
      expect(first[0]).toEqual({
        roomId: '!a:here.test',
        version: '10',
        revision: 1,
        factsRevision: 1,
        resident: true,
        members: 2,
        servers: 2,
        extremities: 1,
        name: 'Room !a:here.test',
      })
      const second = await subject.store.listRooms(first[1]?.roomId, 2)
      expect(second.map(({ roomId }) => roomId)).toEqual(['!c:here.test'])
    })

    it('does not mix with another room', async () => {
      const other = '!other:here.test' as RoomId
      await importRoom(subject.store)
      await importRoom(subject.store, { header: { roomId: other } })
      await accept(subject.store, knock('k', CAROL, ['bob']))
      expect(await membershipOf(subject.store, CAROL, other)).toBeUndefined()
      expect(await extremityNames(subject.store, other)).toEqual(['bob'])
      expect((await subject.store.readRoom(other, CAROL))?.head.revision).toBe(1)
    })
  })

  describe('the extremities of a template', () => {
    it('are all of them up to ten', async () => {
      const ten = Array.from({ length: 10 }, (_, at) => event(`e${at}`, { depth: at }))
      await importRoom(subject.store, { extremities: ten })
      expect((await subject.store.readExtremities(ROOM))?.extremities).toHaveLength(10)
    })

    it('are the five deepest and the five oldest beyond ten', async () => {
      const many = [
        ...Array.from({ length: 5 }, (_, at) => event(`deep${at}`, { depth: 100 + at })),
        ...Array.from({ length: 12 }, (_, at) => event(`flat${at}`, { depth: 10 })),
      ]
      await importRoom(subject.store, { extremities: many })
      const names = await extremityNames(subject.store)
      expect(names).toHaveLength(10)
      expect(names.filter((name) => name.startsWith('deep'))).toEqual(['deep0', 'deep1', 'deep2', 'deep3', 'deep4'])
    })

    it('name the oldest first among knocks that were accepted on stale templates, so that all are merged in time', async () => {
      await importRoom(subject.store)
      for (let at = 0; at < 12; at++) {
        const name = `k${String(at).padStart(2, '0')}`
        await accept(subject.store, knock(name, `@u${at}:remote.test` as typeof BOB, ['bob']))
      }
      const names = await extremityNames(subject.store)
      expect(names).toHaveLength(10)
      expect(names).toEqual(expect.arrayContaining(['k00', 'k01', 'k02', 'k03', 'k04']))
      await accept(subject.store, knock('merge', CAROL, names))
      const left = await extremityNames(subject.store)
      expect(left).toHaveLength(3)
      expect(left).toContain('merge')
    })
  })
}
