import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { UserId } from '../../../src/matrix/identifiers.ts'
import { DAY } from '../contract.ts'
import { accept, BOB, CAROL, HERE, importRoom, knock, member, membershipOf, ROOM, sampleState } from '../sample-room.ts'
import { temporaryStore } from './temporary-store.ts'

const header = { roomId: ROOM, version: '10', ownServer: HERE, discardKnocks: false }
const crowd = Array.from({ length: 1_200 }, (_, at) => member(`m${at}`, `@m${at}:s${at}.test`, 'join'))

describe('what the SQLite store no longer keeps', () => {
  it('is gone from the disk: former snapshots, with everything in them', async () => {
    let now = 1_700_000_000_000
    const file = await temporaryStore()
    const store = await file.open({ clock: () => now, historyMs: DAY })
    await importRoom(store)
    const fresh = file.rows()
    await importRoom(store, { state: [...sampleState(), ...crowd] })
    await importRoom(store)
    await store.prune()
    expect(file.rows().state).toBeGreaterThan(1_200)
    now += DAY
    await store.prune()
    expect(file.rows()).toEqual(fresh)
    expect(await membershipOf(store, BOB)).toBe('join')
  })

  it('is gone from the disk: superseded members and merged extremities, but no accepted event', async () => {
    let now = 1_700_000_000_000
    const file = await temporaryStore()
    const store = await file.open({ clock: () => now, historyMs: DAY })
    await importRoom(store)
    for (let at = 0; at < 5; at++) await accept(store, knock(`k${at}`, CAROL, [at === 0 ? 'bob' : `k${at - 1}`]))
    expect(file.rows()).toMatchObject({ state: 10, extremities: 6, knocks: 1 })
    now += DAY
    await store.prune()
    expect(file.rows()).toMatchObject({ state: 6, extremities: 1, knocks: 1, events: 10 })
    expect(await accept(store, knock('k0', CAROL, ['bob']))).toEqual({ kind: 'duplicate' })
  })

  it('is gone from the disk: hundreds of accepted events that were taken back, behind as many that were not', async () => {
    let now = 1_700_000_000_000
    const file = await temporaryStore()
    const store = await file.open({ clock: () => now, historyMs: DAY, decisionMs: 2 * DAY })
    await importRoom(store)
    const users = (from: number) => Array.from({ length: 250 }, (_, at) => `@u${from + at}:remote.test` as UserId)
    for (const user of users(0)) await accept(store, knock(`stays${user}`, user, ['bob']))
    const goers = users(250)
    for (const user of goers) await accept(store, knock(`goes${user}`, user, ['bob']))
    const left = goers.map((user) => member(`left${user}`, user, 'leave', { depth: 7, prev: [`goes${user}`] }))
    while (await store.expand());
    for (let sent = 1; sent > 0; ) {
      const claimed = await store.claim(now, 9)
      for (const { destination, txnId } of claimed) await store.delivered(destination, txnId)
      sent = claimed.length
    }
    await importRoom(store, { state: [...sampleState(), ...left] })
    now += 2 * DAY
    for (let minute = 0; minute < 10; minute++) await store.prune()
    expect(file.rows()).toMatchObject({ events: 5 + 250 + 250, knocks: 250, decisions: 0 })
  })

  it('is what an import left behind that nobody heard of for ten minutes: the next start removes it', async () => {
    let now = 1_700_000_000_000
    const file = await temporaryStore()
    const first = await file.open({ clock: () => now })
    const empty = file.rows()
    const staging = await first.beginImport(header)
    await staging.addState([...sampleState(), ...crowd].map((item) => ({ ...item, verified: true })))
    const staged = file.rows()
    expect(staged.state).toBeGreaterThanOrEqual(1_000)
    await first.prune()
    expect(file.rows()).toEqual(staged)
    await first.close()

    now += 10 * 60_000 + 1
    await file.open({ clock: () => now })
    const deadline = Date.now() + 10_000
    while (Date.now() < deadline && JSON.stringify(file.rows()) !== JSON.stringify(empty)) await pause(10)
    expect(file.rows()).toEqual(empty)
  })

  it('takes an import that was given up with it, and its swap says so', async () => {
    let now = 1_700_000_000_000
    const file = await temporaryStore()
    const store = await file.open({ clock: () => now })
    const staging = await store.beginImport(header)
    await staging.addState(sampleState().map((item) => ({ ...item, verified: true })))
    now += 10 * 60_000 + 1
    await store.prune()
    expect(await staging.swap()).toEqual({ kind: 'refused', reason: expect.stringMatching(/given up/) })
    expect(await store.readRoom(ROOM, BOB)).toBeUndefined()
  })

  it('are not: knocks kept by an import, until discarded', async () => {
    let now = 1_700_000_000_000
    const file = await temporaryStore()
    const store = await file.open({ clock: () => now, historyMs: DAY })
    await importRoom(store)
    await accept(store, knock('k', CAROL, ['bob']))
    for (let round = 0; round < 3; round++) {
      await importRoom(store)
      now += 2 * DAY
      await store.prune()
      expect(await membershipOf(store, CAROL)).toBe('knock')
    }
    expect(file.rows()).toMatchObject({ snapshots: 1, knocks: 1 })
  })
})
