/** Contract of stores: decisions, keys and health. */
import { describe, expect, it } from 'vitest'
import type { KeyId, RoomId, ServerName } from '../../src/matrix/identifiers.ts'
import { MAX_REFUSALS, type StoreUnderTest } from './contract.ts'
import { accept, CAROL, DAVE, decision, id, importRoom, knock, ROOM } from './sample-room.ts'

export function recordContract(subject: StoreUnderTest): void {
  const refused = (parts: Parameters<typeof decision>[0] = {}) =>
    decision({ outcome: 'refused', status: 403, errcode: 'M_FORBIDDEN', reason: 'banned', ...parts })

  describe('decisions', () => {
    it('are listed newest first, complete, accepted and refused', async () => {
      await importRoom(subject.store)
      subject.store.recordRefusal(refused({ endpoint: 'make_knock', time: 5 }))
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
        for (const userId of [CAROL, DAVE]) subject.store.recordRefusal(refused({ roomId, userId }))
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
      for (let time = 0; time < 3 * MAX_REFUSALS; time++) subject.store.recordRefusal(refused({ time }))
      await subject.store.listDecisions({ limit: 1 })
      await subject.store.prune()
      const kept = await subject.store.listDecisions({ limit: 1_000 })
      expect(kept.map(({ time, outcome }) => (outcome === 'accepted' ? outcome : time))).toEqual([
        ...Array.from({ length: MAX_REFUSALS }, (_, at) => 3 * MAX_REFUSALS - 1 - at),
        'accepted',
      ])
    })
  })

  describe('keys of servers', () => {
    it('come back as they were written, and newer ones replace them', async () => {
      const server = 'remote.test' as ServerName
      expect(await subject.store.readServerKeys(server)).toBeUndefined()
      const key = { keyId: 'ed25519:a_1' as KeyId, key: new Uint8Array([1, 2, 255]), validUntil: 77, old: false }
      await subject.store.writeServerKeys({ server, fetchedAt: 5, keys: [key, { ...key, old: true }] })
      expect(await subject.store.readServerKeys(server)).toEqual({
        server,
        fetchedAt: 5,
        keys: [key, { ...key, old: true }],
      })
      await subject.store.writeServerKeys({ server, fetchedAt: 6, keys: [] })
      expect(await subject.store.readServerKeys(server)).toEqual({ server, fetchedAt: 6, keys: [] })
    })
  })

  describe('health', () => {
    it('is good in a store that works', async () => {
      expect(await subject.store.check()).toEqual({ ok: true })
    })
  })
}
