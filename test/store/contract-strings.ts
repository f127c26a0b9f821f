/** Contract of stores: strings from outside, whatever characters they hold. */
import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../../src/matrix/canonical-json.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import type { StoreUnderTest } from './contract.ts'
import {
  ALICE,
  accept,
  branchOf,
  CAROL,
  decision,
  event,
  id,
  importRoom,
  knock,
  member,
  membershipOf,
  ROOM,
  sampleState,
  state,
} from './sample-room.ts'

const ODD = '\0nul \u0001\u0001\u0002 \u{1F600} \uFFFD\\x00 \\000 \' " {},NULL'
const room = `!${ODD}:here.test` as RoomId
const user = `@${ODD}:remote.test` as UserId

export function stringContract(subject: StoreUnderTest): void {
  describe('strings that no text of SQL holds, or that SQL reads otherwise', () => {
    it('come back unchanged from ids, types, state keys, memberships and contents', async () => {
      const { store } = subject
      const odd = event('odd', { type: ODD, stateKey: ODD, content: { [ODD]: ODD } })
      const strange = member('strange', user, ODD)
      const name = {
        ...event('name', { type: 'm.room.name', stateKey: '', content: { name: ODD } }),
        eventId: `$${ODD}` as EventId,
      }
      const state = [...sampleState(), odd, strange, name]
      expect((await importRoom(store, { state, extremities: [name], header: { roomId: room } })).kind).toBe('imported')
      expect((await store.listRooms(undefined, 5)).map(({ roomId, name: shown }) => [roomId, shown])).toEqual([
        [room, ODD],
      ])
      expect((await store.readRoom(room, user))?.member).toEqual(strange)
      expect((await store.readExtremities(room))?.extremities).toEqual([{ eventId: name.eventId, depth: 1 }])
      const question = {
        roomId: room,
        sender: user,
        eventId: name.eventId,
        prevEvents: [name.eventId],
        authEvents: [name.eventId, odd.eventId],
      }
      const context = await store.readContext(question)
      expect(context?.branches.get(name.eventId)?.member).toEqual(strange)
      expect([...(context?.authEvents.values() ?? [])]).toEqual([name, odd])
    })

    it('come back unchanged from a knock, its decision and its delivery', async () => {
      const { store } = subject
      const server = `${ODD}.test` as ServerName
      const state = [...sampleState(), member('strange', `@x:${server}`, 'join')]
      await importRoom(store, { state, header: { roomId: room } })
      const odd = {
        ...knock('k', user, ['bob'], { content: { membership: 'knock', reason: ODD } }),
        eventId: `$${ODD}` as EventId,
      }
      expect((await accept(store, odd, room)).kind).toBe('committed')
      expect((await accept(store, odd, room)).kind).toBe('duplicate')
      expect((await store.readRoom(room, user))?.member).toEqual(odd)
      const [accepted] = await store.listDecisions({ roomId: room, userId: user, limit: 5 })
      expect(accepted).toEqual(decision({ userId: user, roomId: room, eventId: odd.eventId }))
      store.recordDecision(decision({ userId: user, roomId: room, reason: ODD }))
      expect((await store.listDecisions({ userId: user, limit: 1 }))[0]?.reason).toBe(ODD)
      while (await store.expand());
      const claimed = await store.claim(subject.now(), 10)
      expect(claimed.map(({ destination }) => destination).sort()).toEqual([server, 'there.test'].sort())
      expect(claimed[0]?.events).toEqual([{ eventId: odd.eventId, json: canonicalJson(odd.pdu) }])
      const { txnId = '' } = claimed.find(({ destination }) => destination === server) ?? {}
      await store.failed(server, txnId, { retryAt: 5, reason: ODD })
      expect((await store.listDeliveries(undefined, 1))[0]).toMatchObject({ destination: server, reason: ODD })
      await store.writeServerKeys({ server, fetchedAt: subject.now(), keys: [] })
      expect(await store.readServerKeys(server)).toEqual({ server, fetchedAt: subject.now(), keys: [] })
    })

    it('name one thing each: U+0000 and its escape are two users', async () => {
      const { store } = subject
      const [first, second] = ['@a\0b:remote.test', '@a\\u0000b:remote.test'] as [UserId, UserId]
      await importRoom(store, { state: [...sampleState(), member('first', first, 'ban')] })
      const branch = async (who: UserId) => (await branchOf(store, 'bob', who))?.member?.eventId
      expect([await branch(first), await branch(second)]).toEqual([member('first', first, 'ban').eventId, undefined])
    })

    it('make the reason of a refused import readable', async () => {
      const { store } = subject
      const twice = ['one', 'two'].map((name) => event(name, { type: 'a\0b', stateKey: ALICE }))
      expect(await importRoom(store, { state: [...sampleState(), ...twice] })).toEqual({
        kind: 'refused',
        reason: 'the state has two events of type a\\u0000b for one state key',
      })
    })

    it('name one thing each: no two of these keys and types are one', async () => {
      const keys = [
        '',
        '\0',
        '\u0001',
        '\0\0',
        '\u0001\u0001',
        '\u0001\u0002',
        '\0\u0001',
        'a',
        'a\0',
        'a\0b',
        'a\u0001',
      ]
      const users = keys.map((key) => `@${key}:remote.test` as UserId)
      const acl = { allow: ['nobody.test'] }
      const others = keys.map((key, at) => state(`key${at}`, 'm.room.server_acl', acl, { stateKey: `${key}\0` }))
      const types = keys.map((key, at) => state(`type${at}`, `m.room.server_acl\0${key}`, acl))
      const members = users.map((user, at) => member(`m${at}`, user, 'ban'))
      const imported = await importRoom(subject.store, { state: [...sampleState(), ...others, ...types, ...members] })
      expect(imported.kind).toBe('imported')
      const facts = await subject.store.readFacts(ROOM)
      expect(facts?.state.map(({ pdu }) => pdu.type).sort()).toEqual([
        'm.room.create',
        'm.room.join_rules',
        'm.room.power_levels',
      ])
      for (const [at, user] of users.entries()) {
        expect((await subject.store.readRoom(ROOM, user))?.member?.eventId, JSON.stringify(user)).toBe(id(`m${at}`))
      }
    })

    it('leave the room as themselves and nothing else when their signature is wrong', async () => {
      const odd = event('odd', { type: 'm.room.join_rules\0', stateKey: '' })
      const banned = member('banned', `${CAROL}\0` as UserId, 'ban')
      const parts = {
        state: [...sampleState(), odd, banned, member('carol', CAROL, 'leave')],
        unverified: ['odd', 'banned'],
      }
      await importRoom(subject.store, parts)
      for (const name of ['odd', 'banned']) await subject.store.settle(ROOM, id(name), 'wrong')
      expect((await subject.store.readFacts(ROOM))?.state.map(({ eventId }) => eventId)).toContain(id('rules'))
      expect(await membershipOf(subject.store, CAROL)).toBe('leave')
      expect(await membershipOf(subject.store, `${CAROL}\0` as UserId)).toBeUndefined()
    })
  })
}
