import { describe, expect, it } from 'vitest'
import type { UserId } from '../../../src/matrix/identifiers.ts'
import { DAY } from '../contract.ts'
import { accept, decision, event, importRoom, knock, member, membershipOf, ROOM, sampleState } from '../sample-room.ts'
import { temporaryStore } from './temporary-store.ts'

describe('a full disk', () => {
  it('fails the commit, writes nothing of it, and takes knocks again once there is space', async () => {
    let now = 1_700_000_000_000
    const file = await temporaryStore()
    const store = await file.open({ clock: () => now, historyMs: DAY, maxBytes: 1_000_000 })
    const crowd = Array.from({ length: 400 }, (_, at) => member(`m${at}`, `@m${at}:there.test`, 'join'))
    await importRoom(store, { state: [...sampleState(), ...crowd] })
    await importRoom(store, { extremities: [event('bob')] })

    const padding = { content: { membership: 'knock', reason: 'x'.repeat(8_000) } }
    let accepted = 0
    let outcome = await accept(store, knock(`k${accepted}`, '@u0:remote.test' as UserId, ['bob'], padding))
    while (outcome.kind === 'committed' && accepted < 1_000) {
      accepted++
      const user = `@u${accepted}:remote.test` as UserId
      outcome = await accept(store, knock(`k${accepted}`, user, ['bob'], padding))
    }
    expect(outcome).toEqual({ kind: 'failed', reason: expect.stringMatching(/full/) })
    expect(accepted).toBeGreaterThan(0)
    expect(await store.check()).toEqual({ ok: false, reason: expect.stringMatching(/cannot be written.*full/) })
    const rejected = `@u${accepted}:remote.test` as UserId
    expect(await membershipOf(store, rejected)).toBeUndefined()
    expect((await store.readRoom(ROOM, rejected))?.head.revision).toBe(2 + accepted)
    const { outbox = 0, decisions = 0, knocks = 0 } = file.rows()
    expect([outbox, decisions, knocks]).toEqual([accepted, accepted, accepted])
    // What is smaller than a knock may still fit in, and does not make the store ready.
    store.recordDecision(decision({ outcome: 'refused', status: 403, eventId: undefined }))
    expect((await store.listDecisions({ roomId: ROOM, limit: 1 }))[0]).toMatchObject({ outcome: 'refused' })
    expect(await store.check()).toEqual({ ok: false, reason: expect.stringMatching(/cannot be written.*full/) })

    now += DAY
    await store.prune()
    expect(await store.check()).toEqual({ ok: true })
    const again = await accept(store, knock(`k${accepted}`, rejected, [`k${accepted - 1}`], padding))
    expect(again.kind).toBe('committed')
  })

  it('refuses an import with the reason, and the room stays as it was', async () => {
    const file = await temporaryStore()
    const store = await file.open({ maxBytes: 400_000 })
    await importRoom(store)
    const crowd = Array.from({ length: 2_000 }, (_, at) => member(`m${at}`, `@m${at}:there.test`, 'join'))
    const outcome = await importRoom(store, { state: [...sampleState(), ...crowd] })
    expect(outcome).toEqual({ kind: 'refused', reason: expect.stringMatching(/could not be written.*full/) })
    expect(await store.roomSummary(ROOM)).toMatchObject({ revision: 1, members: 2 })
  })
})
