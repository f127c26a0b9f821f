/** Contract of stores: decisions, keys and health. */
import { describe, expect, it } from 'vitest'
import type { KeyId, RoomId, ServerName } from '../../src/matrix/identifiers.ts'
import { DAY, MAX_REFUSALS, REFUSAL_BYTES, type StoreUnderTest } from './contract.ts'
import {
  accept,
  CAROL,
  DAVE,
  decision,
  extremityNames,
  id,
  importRoom,
  knock,
  membershipOf,
  ROOM,
  sampleState,
} from './sample-room.ts'

export function recordContract(subject: StoreUnderTest): void {
  const refused = (parts: Parameters<typeof decision>[0] = {}) =>
    decision({ outcome: 'refused', status: 403, errcode: 'M_FORBIDDEN', reason: 'banned', ...parts })

  describe('decisions', () => {
    it('are listed newest first, complete, accepted and refused', async () => {
      await importRoom(subject.store)
      subject.store.recordDecision(refused({ endpoint: 'make_knock', time: 5 }))
      expect(await subject.store.listDecisions({ limit: 10 })).toEqual([refused({ endpoint: 'make_knock', time: 5 })])
      await accept(subject.store, knock('k', CAROL, ['bob']))
      const [newest, older] = await subject.store.listDecisions({ limit: 10 })
      expect(newest).toEqual(decision({ eventId: id('k') }))
      expect(older?.outcome).toBe('refused')
      expect(Object.keys(older ?? {})).toContain('eventId')
    })

    it('are filtered by room, by user, by both', async () => {
      const other = '!other:here.test' as RoomId
      for (const roomId of [ROOM, other]) {
        for (const userId of [CAROL, DAVE]) subject.store.recordDecision(refused({ roomId, userId }))
      }
      const count = async (filter: object) => (await subject.store.listDecisions({ limit: 10, ...filter })).length
      expect(await count({})).toBe(4)
      expect(await count({ limit: 3 })).toBe(3)
      expect(await count({ roomId: ROOM })).toBe(2)
      expect(await count({ userId: DAVE })).toBe(2)
      expect(await count({ roomId: other, userId: CAROL })).toBe(1)
      expect(await count({ roomId: '!no:here.test' })).toBe(0)
    })

    it('of refusals are bounded and the newest win; those of accepted knocks stay', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      // Left to a homeserver: of a room that is not known here.
      subject.store.recordDecision(decision({ roomId: '!elsewhere:here.test' as RoomId, time: 7 }))
      for (let time = 0; time < 3 * MAX_REFUSALS; time++) subject.store.recordDecision(refused({ time }))
      await subject.store.listDecisions({ limit: 1 })
      await subject.store.prune()
      const kept = await subject.store.listDecisions({ limit: 1_000 })
      expect(kept.map(({ time, outcome }) => (outcome === 'accepted' ? outcome : time))).toEqual([
        ...Array.from({ length: MAX_REFUSALS }, (_, at) => 3 * MAX_REFUSALS - 1 - at),
        'accepted',
        'accepted',
      ])
    })
  })

  describe('refusals of strangers who choose long texts', () => {
    it('are bounded in bytes too, and the newest win; accepted knocks stay', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      const size = 2_000
      for (let time = 0; time < MAX_REFUSALS; time++) {
        subject.store.recordDecision(refused({ time, reason: 'x'.repeat(size) }))
      }
      await subject.store.listDecisions({ limit: 1 })
      await subject.store.prune()
      const kept = await subject.store.listDecisions({ limit: 1_000 })
      const refusals = kept.filter(({ outcome }) => outcome === 'refused')
      expect(kept.length - refusals.length).toBe(1)
      expect(refusals.length).toBeLessThanOrEqual(REFUSAL_BYTES / size)
      expect(refusals.length).toBeGreaterThanOrEqual(REFUSAL_BYTES / (2 * size))
      expect(refusals.map(({ time }) => time)).toEqual(refusals.map((_, at) => MAX_REFUSALS - 1 - at))
    })
  })

  describe('what it holds', () => {
    it('is told by kind, as it comes and goes', async () => {
      const rows = async () => {
        await subject.store.listDecisions({ limit: 1 })
        const held = Object.entries(await subject.store.holdings())
        return Object.fromEntries(held.map(([kind, { rows: count }]) => [kind, count]))
      }
      const nothing = { rooms: 0, events: 0, decisions: 0, attempts: 0, outbox: 0, keys: 0 }
      expect(await rows()).toEqual(nothing)
      await importRoom(subject.store)
      const imported = await rows()
      expect(imported).toEqual({ ...nothing, rooms: 1, events: expect.any(Number) })
      expect(imported.events).toBeGreaterThan(0)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      while (await subject.store.expand());
      subject.store.recordDecision(refused())
      const server = 'remote.test' as ServerName
      const key = { keyId: 'ed25519:a_1' as KeyId, key: new Uint8Array([1]), validUntil: 77, old: false }
      for (const keys of [[key], [key, key]]) {
        await subject.store.writeServerKeys({ server, fetchedAt: subject.now(), keys })
      }
      const attempted = knock('attempted', DAVE, ['bob'])
      await subject.store.beginAttempt({ event: attempted, decision: decision({ time: subject.now() }) })
      const events = Number(imported.events) + 1
      expect(await rows()).toEqual({ rooms: 1, events, decisions: 2, attempts: 1, outbox: 1, keys: 1 })
      for (const { bytes } of Object.values(await subject.store.holdings())) expect(bytes ?? 1).toBeGreaterThan(0)
      await subject.store.endAttempt(attempted.eventId)
      for (const { destination, txnId } of await subject.store.claim(subject.now(), 9)) {
        await subject.store.delivered(destination, txnId)
      }
      subject.advance(400 * DAY)
      await subject.store.prune()
      expect(await rows()).toMatchObject({ rooms: 1, decisions: 0, attempts: 0, outbox: 0, keys: 0 })
    })
  })

  describe('what is over', () => {
    const recorded = async (name: string) => {
      const question = { roomId: ROOM, sender: CAROL, eventId: id(name), prevEvents: [], authEvents: [] }
      return (await subject.store.readContext(question))?.recorded
    }
    const deliverAll = async () => {
      while (await subject.store.expand());
      for (const { destination, txnId } of await subject.store.claim(subject.now(), 9)) {
        await subject.store.delivered(destination, txnId)
      }
    }

    it('is forgotten 90 days after it was recorded: decisions, accepted and refused', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k', CAROL, ['bob']))
      subject.store.recordDecision(refused())
      await subject.store.listDecisions({ limit: 1 })
      subject.advance(90 * DAY - 1)
      subject.store.recordDecision(refused({ reason: 'younger' }))
      await subject.store.listDecisions({ limit: 1 })
      await subject.store.prune()
      expect(await subject.store.listDecisions({ limit: 9 })).toHaveLength(3)
      subject.advance(1)
      await subject.store.prune()
      const kept = await subject.store.listDecisions({ limit: 9 })
      expect(kept.map(({ reason }) => reason)).toEqual(['younger'])
    })

    it('is forgotten 90 days after it was recorded: accepted events, unless they are state or ends of the room', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      await accept(subject.store, knock('k2', CAROL, ['k1']))
      await accept(subject.store, knock('side', DAVE, ['bob']))
      await accept(subject.store, knock('last', DAVE, ['k2']))
      await deliverAll()
      subject.advance(90 * DAY - 1)
      await subject.store.prune()
      expect(await recorded('k1')).toBe(true)
      subject.advance(1)
      await subject.store.prune()
      const names = ['k1', 'k2', 'side', 'last']
      expect(await Promise.all(names.map(recorded))).toEqual([false, true, true, true])
      expect(await membershipOf(subject.store, CAROL)).toBe('knock')
      expect(await extremityNames(subject.store)).toEqual(['last', 'side'])
    })

    it('stays while it waits for a server', async () => {
      await importRoom(subject.store)
      await accept(subject.store, knock('k1', CAROL, ['bob']))
      while (await subject.store.expand());
      await accept(subject.store, knock('k2', CAROL, ['k1']))
      await accept(subject.store, knock('k3', CAROL, ['k2']))
      subject.advance(100 * DAY)
      await subject.store.prune()
      while (await subject.store.expand());
      const [waiting] = await subject.store.claim(subject.now(), 1)
      expect(waiting?.events.map(({ eventId }) => eventId)).toEqual(['k1', 'k2', 'k3'].map(id))
      await subject.store.delivered(waiting?.destination as ServerName, waiting?.txnId ?? '')
      await subject.store.prune()
      expect(await Promise.all(['k1', 'k2', 'k3'].map(recorded))).toEqual([false, false, true])
    })

    it('stays where an import knows it too, to be kept again by one that does not', async () => {
      await importRoom(subject.store)
      const known = knock('k', CAROL, ['bob'])
      await accept(subject.store, known)
      await deliverAll()
      await importRoom(subject.store, { state: [...sampleState(), known], extremities: [known] })
      subject.advance(100 * DAY)
      await subject.store.prune()
      expect(await importRoom(subject.store)).toMatchObject({ keptKnocks: 1, droppedKnocks: 0 })
      expect(await membershipOf(subject.store, CAROL)).toBe('knock')
    })

    it('is forgotten a year after it was fetched: keys of servers', async () => {
      const server = 'remote.test' as ServerName
      await subject.store.writeServerKeys({ server, fetchedAt: subject.now(), keys: [] })
      subject.advance(365 * DAY - 1)
      await subject.store.prune()
      expect(await subject.store.readServerKeys(server)).toBeDefined()
      subject.advance(1)
      await subject.store.prune()
      expect(await subject.store.readServerKeys(server)).toBeUndefined()
    })
  })

  describe('keys of servers', () => {
    it('come back as they were written, and newer ones replace them', async () => {
      const server = 'remote.test' as ServerName
      expect(await subject.store.readServerKeys(server)).toBeUndefined()
      const key = { keyId: 'ed25519:a_1' as KeyId, key: new Uint8Array([1, 2, 255]), validUntil: 77, old: false }
      await subject.store.writeServerKeys({ server, fetchedAt: subject.now(), keys: [key, { ...key, old: true }] })
      expect(await subject.store.readServerKeys(server)).toEqual({
        server,
        fetchedAt: subject.now(),
        keys: [key, { ...key, old: true }],
      })
      await subject.store.writeServerKeys({ server, fetchedAt: subject.now() + 1, keys: [] })
      expect(await subject.store.readServerKeys(server)).toEqual({ server, fetchedAt: subject.now() + 1, keys: [] })
    })
  })

  describe('health', () => {
    it('is good in a store that works', async () => {
      expect(await subject.store.check()).toEqual({ ok: true })
    })
  })
}
