/** Contract of stores: places in the state whose events cannot be used, and types of which every branch has a value. */
import { describe, expect, it } from 'vitest'
import type { SlotFlaw } from '../../src/knock/ports/store.ts'
import type { RoomId, UserId } from '../../src/matrix/identifiers.ts'
import type { StoreUnderTest } from './contract.ts'
import {
  accept,
  branchOf,
  CAROL,
  DAVE,
  HERE,
  type ImportParts,
  id,
  importRoom,
  knock,
  member,
  membershipOf,
  nameOf,
  ROOM,
  sampleState,
  state,
} from './sample-room.ts'

const OTHER = '!other:here.test' as RoomId

function flaw(type: string, stateKey = '', reason = `no ${type}`): SlotFlaw {
  return { type, stateKey, reason }
}

export function flawContract(subject: StoreUnderTest): void {
  const withFlaws = (flaws: readonly SlotFlaw[], parts: ImportParts = {}) =>
    importRoom(subject.store, { ...parts, flaws })
  const flawsOf = async (roomId = ROOM) => {
    const found = await subject.store.listFlaws({ roomId, limit: 100 })
    return found.map(({ type, stateKey, reason }) => [type, stateKey, reason].join('|')).sort()
  }

  describe('a place in the state whose event cannot be used', () => {
    it('is no membership, and says why', async () => {
      await withFlaws([flaw('m.room.member', CAROL, 'nested too deep')])
      expect(await subject.store.readRoom(ROOM, CAROL)).toMatchObject({ memberFlaw: 'nested too deep' })
      expect((await subject.store.readRoom(ROOM, CAROL))?.member).toBeUndefined()
      expect((await subject.store.readRoom(ROOM, DAVE))?.memberFlaw).toBeUndefined()
      expect((await branchOf(subject.store, 'bob', CAROL))?.memberFlaw).toBe('nested too deep')
      expect((await branchOf(subject.store, 'bob', DAVE))?.memberFlaw).toBeUndefined()
      const question = { roomId: ROOM, sender: CAROL, eventId: id('k'), prevEvents: [], authEvents: [] }
      expect(await subject.store.readContext(question)).toMatchObject({ memberFlaw: 'nested too deep' })
    })

    it('is told of among the facts, where it is one of those', async () => {
      await withFlaws([flaw('m.room.topic'), flaw('m.room.policy'), flaw('m.room.member', CAROL)])
      expect((await subject.store.readFacts(ROOM))?.flaws).toEqual([
        { type: 'm.room.policy', reason: 'no m.room.policy' },
        { type: 'm.room.topic', reason: 'no m.room.topic' },
      ])
    })

    it('is listed by room, and by type over all rooms', async () => {
      await withFlaws([flaw('m.room.topic'), flaw('m.room.policy'), flaw('m.room.member', CAROL, 'ü\u0001')])
      await withFlaws([flaw('m.room.policy'), flaw('m.room.policy', 'x')], { header: { roomId: OTHER } })
      expect(await flawsOf()).toEqual([
        `m.room.member|${CAROL}|ü\u0001`,
        'm.room.policy||no m.room.policy',
        'm.room.topic||no m.room.topic',
      ])
      const closed = await subject.store.listFlaws({ types: ['m.room.policy', 'm.room.create'], limit: 100 })
      expect(closed.map(({ roomId, stateKey }) => [roomId, stateKey]).sort()).toEqual([
        [OTHER, ''],
        [ROOM, ''],
      ])
      expect(await subject.store.listFlaws({ types: ['m.room.policy'], limit: 1 })).toHaveLength(1)
    })

    it('has one reason, the first', async () => {
      await withFlaws([flaw('m.room.topic', '', 'first'), flaw('m.room.topic', '', 'second')])
      expect(await flawsOf()).toEqual(['m.room.topic||first'])
    })

    it('is gone with the next import, and stays for what was built upon the former state', async () => {
      await withFlaws([flaw('m.room.member', CAROL), flaw('m.room.policy')])
      const tip = member('dan', '@dan:there.test', 'join', { depth: 6, prev: ['bob'] })
      await importRoom(subject.store, { state: [...sampleState(), tip], extremities: [tip] })
      expect(await flawsOf()).toEqual([])
      expect((await subject.store.readRoom(ROOM, CAROL))?.memberFlaw).toBeUndefined()
      expect((await branchOf(subject.store, 'bob', CAROL))?.memberFlaw).toBe('no m.room.member')
      expect((await branchOf(subject.store, 'dan', CAROL))?.memberFlaw).toBeUndefined()
    })

    it('is filled by what comes into it later', async () => {
      await withFlaws([flaw('m.room.member', CAROL)])
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      expect(await subject.store.readRoom(ROOM, CAROL)).toMatchObject({ member: { eventId: id('k1') } })
      expect((await subject.store.readRoom(ROOM, CAROL))?.memberFlaw).toBeUndefined()
      expect((await branchOf(subject.store, 'k1', CAROL))?.memberFlaw).toBeUndefined()
      expect((await branchOf(subject.store, 'bob', CAROL))?.memberFlaw).toBe('no m.room.member')
    })

    it('drops a knock that was accepted here: it may be its answer', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await accept(subject.store, knock('k2', DAVE, ['bob']))
      expect(await withFlaws([flaw('m.room.member', CAROL)])).toMatchObject({ keptKnocks: 1, droppedKnocks: 1 })
      expect(await subject.store.readRoom(ROOM, CAROL)).toMatchObject({ memberFlaw: 'no m.room.member' })
      expect(await membershipOf(subject.store, DAVE)).toBe('knock')
    })

    it('may be that of the create event: the room is the same all the same', async () => {
      const parts = { state: sampleState().slice(1) }
      expect(await withFlaws([flaw('m.room.create')], parts)).toMatchObject({ kind: 'imported' })
      expect((await subject.store.readFacts(ROOM))?.flaws).toEqual([
        { type: 'm.room.create', reason: 'no m.room.create' },
      ])
      expect(await importRoom(subject.store)).toMatchObject({ kind: 'imported' })
      expect(await withFlaws([flaw('m.room.create')], parts)).toMatchObject({ kind: 'imported' })
      const another = [state('create2', 'm.room.create', {}), ...sampleState().slice(1)]
      expect(await importRoom(subject.store, { state: another })).toMatchObject({ kind: 'refused' })
      expect(await importRoom(subject.store)).toMatchObject({ kind: 'imported' })
    })

    it('is where an event was whose signature turns out wrong', async () => {
      await importRoom(subject.store, { unverified: ['bob', 'rules'] })
      await subject.store.settle(ROOM, id('bob'), 'wrong')
      await subject.store.settle(ROOM, id('rules'), 'wrong')
      const bob = '@bob:there.test' as UserId
      expect(await subject.store.readRoom(ROOM, bob)).toMatchObject({ memberFlaw: 'its signature is wrong' })
      expect(await flawsOf()).toEqual([
        'm.room.join_rules||its signature is wrong',
        `m.room.member|${bob}|its signature is wrong`,
      ])
    })

    it('is copied with the room, unless something came into it', async () => {
      const crowd = Array.from({ length: 450 }, (_, at) => flaw('m.room.member', `@m${at}:x.test`))
      await withFlaws([...crowd, flaw('m.room.member', CAROL), flaw('m.room.topic')])
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      const copy = await subject.store.copyRoom(ROOM)
      const found: SlotFlaw[] = []
      for await (const flaws of copy?.flaws() ?? []) found.push(...flaws)
      expect(found).toHaveLength(451)
      expect(found).toContainEqual(flaw('m.room.topic'))
      expect(found.some(({ stateKey }) => stateKey === CAROL)).toBe(false)
    })

    it('is removed with what it was imported with', async () => {
      await withFlaws([flaw('m.room.topic')])
      await importRoom(subject.store)
      subject.advance(10 * 24 * 60 * 60 * 1000)
      await subject.store.prune()
      expect(await flawsOf()).toEqual([])
      expect(await branchOf(subject.store, 'bob', CAROL)).toBeDefined()
    })
  })

  describe('types of which every branch has a value', () => {
    const acl = (name: string) => state(name, 'm.room.server_acl', { deny: [name] })
    const named = async (roomId = ROOM) =>
      ((await subject.store.readFacts(roomId))?.state ?? [])
        .flatMap(({ eventId, pdu }) => (pdu.type === 'm.room.server_acl' ? [nameOf(eventId)] : []))
        .sort()

    async function importBranches(roomId = ROOM): Promise<void> {
      const header = { roomId, version: '10', ownServer: HERE, discardKnocks: false }
      const staging = await subject.store.beginImport(header)
      await staging.addState(sampleState().map((event) => ({ ...event, verified: true })))
      const acls = [acl('first'), acl('second'), acl('third')]
      await staging.addState(acls.map((event, branch) => ({ ...event, branch, verified: branch !== 1 })))
      await staging.addExtremities(sampleState().slice(-1))
      expect(await staging.swap()).toMatchObject({ kind: 'imported' })
    }

    it('are told of with all of them', async () => {
      await importBranches()
      expect(await named()).toEqual(['first', 'second', 'third'])
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      expect(await named()).toEqual(['first', 'second', 'third'])
      await importRoom(subject.store, { state: [...sampleState(), acl('one')] })
      expect(await named()).toEqual(['one'])
    })

    it('are copied with all of them', async () => {
      await importBranches()
      const copy = await subject.store.copyRoom(ROOM)
      const found: string[] = []
      for await (const events of copy?.events('pdus') ?? []) found.push(...events.map(({ eventId }) => nameOf(eventId)))
      expect(found.sort()).toEqual(['alice', 'bob', 'create', 'first', 'power', 'rules', 'second', 'third'])
    })

    it('are a flaw where one of them turns out wrongly signed', async () => {
      await importBranches()
      await subject.store.settle(ROOM, id('second'), 'wrong')
      expect(await named()).toEqual(['first', 'third'])
      expect(await flawsOf()).toEqual(['m.room.server_acl||its signature is wrong'])
    })

    it('refuse an import with two for one branch', async () => {
      const header = { roomId: ROOM, version: '10', ownServer: HERE, discardKnocks: false }
      const staging = await subject.store.beginImport(header)
      await staging.addState(sampleState().map((event) => ({ ...event, verified: true })))
      const acls = [acl('first'), acl('second'), acl('third')]
      await staging.addState(acls.map((event, at) => ({ ...event, branch: Math.min(at, 1), verified: true })))
      await staging.addExtremities(sampleState().slice(-1))
      expect(await staging.swap()).toEqual({ kind: 'refused', reason: expect.stringContaining('two events') })
    })
  })
}
