import { describe, expect, it, onTestFinished } from 'vitest'
import { canonicalJsonText } from '../../../src/matrix/canonical-json.ts'
import type { UserId } from '../../../src/matrix/identifiers.ts'
import type { StageRow } from '../../../src/store/jobs.ts'
import { startWriter, type WriterClient } from '../../../src/store/sqlite/writer-client.ts'
import {
  accept,
  BOB,
  CAROL,
  extremityNames,
  HERE,
  id,
  importRoom,
  knock,
  member,
  ROOM,
  sampleState,
} from '../sample-room.ts'
import { temporaryStore } from './temporary-store.ts'

/** The room staged once more by hand, so that knocks can come between the steps of an import. */
async function stageAgain(writer: WriterClient, more: ReturnType<typeof member>[] = []): Promise<number> {
  const header = { now: 0, roomId: ROOM, version: '10', ownServer: HERE, discardKnocks: false }
  const snapshot = await writer.demand('beginImport', header)
  const rows = [...sampleState(), ...more].map(({ eventId, pdu }): StageRow => {
    const membership = pdu.type === 'm.room.member' ? String(pdu.content.membership) : null
    const joined = membership === 'join' ? pdu.sender.slice(pdu.sender.indexOf(':') + 1) : null
    const { type, state_key: stateKey = '', depth } = pdu
    const json = canonicalJsonText(pdu)
    return { use: 'state', eventId, type, stateKey, membership, joined, depth, checked: true, fromRevision: 0, json }
  })
  const [tip] = rows.slice(-1 - more.length)
  await writer.demand('stage', { now: 0, snapshot, rows })
  await writer.demand('stage', { now: 0, snapshot, rows: tip === undefined ? [] : [{ ...tip, use: 'extremity' }] })
  return snapshot
}

async function storeAndWriter() {
  const file = await temporaryStore()
  const store = await file.open()
  const writer = await startWriter({ path: file.path })
  onTestFinished(() => writer.close())
  await importRoom(store)
  return { store, writer }
}

const userOf = (at: number) => `@u${at}:remote.test` as UserId
const userNumber = (at: number) => knock(`k${at}`, userOf(at), ['bob'])

describe('knocks that an import takes over', () => {
  it('are taken over in chunks before the swap', async () => {
    const { store, writer } = await storeAndWriter()
    await Promise.all(Array.from({ length: 250 }, (_, at) => accept(store, userNumber(at))))
    const snapshot = await stageAgain(writer)
    let rounds = 1
    while (await writer.demand('keepKnocks', { snapshot })) rounds++
    expect(rounds).toBeGreaterThanOrEqual(3)
    const swapped = await writer.demand('swap', { now: 1, snapshot })
    expect(swapped).toEqual({ kind: 'imported', revision: 252, keptKnocks: 250, droppedKnocks: 0 })
    expect(await store.roomSummary(ROOM)).toMatchObject({ members: 2, extremities: 251 })
  })

  it('that come between the last chunk and the swap are taken over inside it', async () => {
    const { store, writer } = await storeAndWriter()
    await accept(store, userNumber(0))
    const snapshot = await stageAgain(writer)
    expect(await writer.demand('keepKnocks', { snapshot })).toBe(false)
    await accept(store, knock('again', userOf(0), ['k0']))
    await accept(store, userNumber(1))
    const swapped = await writer.demand('swap', { now: 1, snapshot })
    expect(swapped).toMatchObject({ keptKnocks: 2, droppedKnocks: 0 })
    expect((await store.readRoom(ROOM, userOf(0)))?.member?.eventId).toBe(id('again'))
    expect(await extremityNames(store)).toEqual(['again', 'bob', 'k1'])
  })

  it('and that others built on in between are extremities no more', async () => {
    const { store, writer } = await storeAndWriter()
    await accept(store, userNumber(0))
    const snapshot = await stageAgain(writer, [member('banned', CAROL, 'ban')])
    await writer.demand('keepKnocks', { snapshot })
    await accept(store, knock('over', CAROL, ['k0', 'bob']))
    expect(await writer.demand('swap', { now: 1, snapshot })).toMatchObject({ keptKnocks: 1, droppedKnocks: 1 })
    expect(await extremityNames(store)).toEqual(['bob'])
    expect((await store.readRoom(ROOM, CAROL))?.member?.eventId).toBe(id('banned'))
  })

  it('put the swap off when too many came in between', async () => {
    const { store, writer } = await storeAndWriter()
    const snapshot = await stageAgain(writer)
    await writer.demand('keepKnocks', { snapshot })
    await Promise.all(Array.from({ length: 150 }, (_, at) => accept(store, userNumber(at))))
    expect(await writer.demand('swap', { now: 1, snapshot })).toBeUndefined()
    expect((await store.readRoom(ROOM, BOB))?.head.factsRevision).toBe(1)
    let swapped: unknown
    while (swapped === undefined) swapped = await writer.demand('swap', { now: 1, snapshot })
    expect(swapped).toMatchObject({ keptKnocks: 150, droppedKnocks: 0 })
  })

  it('are not mixed with those of another import that came into use meanwhile: the later one is refused', async () => {
    const { store, writer } = await storeAndWriter()
    const snapshot = await stageAgain(writer)
    await writer.demand('keepKnocks', { snapshot })
    await importRoom(store)
    expect(await writer.demand('swap', { now: 1, snapshot })).toEqual({
      kind: 'refused',
      reason: expect.stringMatching(/another import/),
    })
  })
})
