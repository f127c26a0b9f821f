import { copyFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import type { Store } from '../../../src/knock/ports/store.ts'
import type { KeyId, RoomId, ServerName, UserId } from '../../../src/matrix/identifiers.ts'
import { migrateStore } from '../../../src/store/migrate-store.ts'
import { DAY } from '../contract.ts'
import {
  accept,
  BOB,
  branchOf,
  CAROL,
  DAVE,
  decision,
  event,
  HERE,
  id,
  importRoom,
  knock,
  member,
  ROOM,
  sampleState,
} from '../sample-room.ts'
import { temporaryStore as temporaryFile } from '../sqlite/temporary-store.ts'
import { temporaryStore } from './temporary-store.ts'

const THERE = 'there.test' as ServerName
const OTHER = '!\0other:here.test' as RoomId
const ODD = '@a\0\u0001b:remote.test' as UserId
const NOW = 1_700_000_000_000
const clock = () => NOW
const options = { clock, historyMs: DAY }

/** A store with something of everything, the last of it not yet turned into rows per server. */
async function filled() {
  const file = await temporaryFile()
  const store = await file.open(options)
  await importRoom(store, { chain: [event('said')] })
  await accept(store, knock('k1', CAROL, ['bob']))
  await importRoom(store, { state: [...sampleState(), member('odd', ODD, 'ban'), member('away', DAVE, 'leave')] })
  await importRoom(store, { header: { roomId: OTHER } })
  await accept(store, knock('other', CAROL, ['bob']), OTHER)
  await accept(store, knock('k2', CAROL, ['k1', 'bob']))
  store.recordDecision(decision({ outcome: 'refused', status: 403, reason: 'a\0b' }))
  await store.listDecisions({ limit: 1 })
  const key = { keyId: 'ed25519:a_1' as KeyId, key: new Uint8Array([1, 2, 255]), validUntil: 77, old: false }
  await store.writeServerKeys({ server: THERE, fetchedAt: NOW, keys: [key] })
  while (await store.expand());
  const [claimed] = await store.claim(NOW, 1)
  await store.failed(THERE, claimed?.txnId ?? '', { retryAt: NOW, notBefore: NOW - 1, reason: 'no', refused: true })
  await accept(store, knock('k3', DAVE, ['k2']))
  await store.beginAttempt({ event: knock('k4', DAVE, ['k3']), decision: decision({ userId: ODD, time: NOW }) })
  const before = await shown(store)
  await store.close()
  // A connection that was closed in this process holds on to its file until memory is cleaned up.
  const copy = await temporaryFile()
  await copyFile(file.path, copy.path)
  return { path: copy.path, before, transaction: claimed }
}

async function shown(store: Store) {
  const members = await Promise.all([BOB, CAROL, DAVE, ODD].map((user) => store.readRoom(ROOM, user)))
  const branches = []
  for (const prev of ['bob', 'k1', 'k2', 'k3']) branches.push(await branchOf(store, prev, CAROL))
  return {
    rooms: await store.listRooms(undefined, 9),
    members,
    branches,
    facts: await store.readFacts(ROOM),
    extremities: (await store.readExtremities(ROOM))?.extremities,
    decisions: await store.listDecisions({ limit: 9 }),
    keys: await store.readServerKeys(THERE),
    waiting: await store.listDeliveries(undefined, 9),
    depth: await store.depth(NOW),
    attempts: await store.listAttempts(9),
  }
}

describe('a store moved from SQLite to PostgreSQL', () => {
  const move = (path: string, url: string) => migrateStore({ path, url, warn: () => undefined })

  it('has everything that it had, and loses nothing that waits', async () => {
    const { path, before, transaction } = await filled()
    const schema = await temporaryStore()
    const moved = await move(path, schema.url)
    expect(moved).toMatchObject({ kind: 'migrated' })
    expect(moved.kind === 'migrated' && moved.rows.get('rooms')).toBe(2)
    const store = await schema.open(options)
    expect(await shown(store)).toEqual(before)
    expect(await store.flaws()).toEqual([])
    const [again] = await store.claim(NOW, 1)
    expect(again).toEqual({ ...transaction, attempts: 1, refusals: 1 })
    await store.delivered(THERE, again?.txnId ?? '')
    while (await store.expand());
    const [next] = await store.claim(NOW, 1)
    expect(next?.events.map(({ eventId }) => eventId)).toEqual([id('k3')])
  })

  it('goes on where it was', async () => {
    const { path } = await filled()
    const schema = await temporaryStore()
    await move(path, schema.url)
    const store = await schema.open(options)
    expect(await accept(store, knock('k2', CAROL, ['k1', 'bob']))).toEqual({ kind: 'duplicate' })
    expect(await accept(store, knock('k4', CAROL, ['k3']))).toMatchObject({ kind: 'committed' })
    store.recordDecision(decision({ outcome: 'refused', reason: 'newest' }))
    expect((await store.listDecisions({ limit: 1 }))[0]?.reason).toBe('newest')
    expect(await importRoom(store)).toMatchObject({ kind: 'imported', keptKnocks: 2 })
    expect(await importRoom(store, { header: { roomId: '!new:here.test' as RoomId, ownServer: HERE } })).toMatchObject({
      kind: 'imported',
      revision: 1,
    })
    expect(await store.flaws()).toEqual([])
  })

  it('is not mixed with one that is there: it is refused, and nothing is changed', async () => {
    const { path } = await filled()
    const schema = await temporaryStore()
    const store = await schema.open(options)
    await store.writeServerKeys({ server: HERE, fetchedAt: NOW, keys: [] })
    const before = await schema.rows()
    expect(await move(path, schema.url)).toEqual({ kind: 'refused', reason: 'the store there is not empty' })
    expect(await schema.rows()).toEqual(before)
  })

  it('is refused while somebody has the file open', async () => {
    const file = await temporaryFile()
    await importRoom(await file.open())
    const schema = await temporaryStore()
    expect(await move(file.path, schema.url)).toEqual({
      kind: 'refused',
      reason: expect.stringContaining('it is in use: stop the service'),
    })
  })

  it('is refused where there is no such file, and none is made', async () => {
    const file = await temporaryFile()
    const schema = await temporaryStore()
    expect(await move(file.path, schema.url)).toEqual({ kind: 'refused', reason: `${file.path} is not there` })
    expect(await move(file.path, schema.url)).toMatchObject({ kind: 'refused' })
  })

  it('is refused, with a reason that names no password, where the database cannot be reached', async () => {
    const { path } = await filled()
    const moved = await move(path, 'postgres://knock:secret@127.0.0.1:1/none')
    expect(moved).toEqual({ kind: 'refused', reason: expect.stringContaining('ECONNREFUSED') })
    expect(JSON.stringify(moved)).not.toContain('secret')
  })
})
