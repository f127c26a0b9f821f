import { copyFile, readFile, rename, rm, stat } from 'node:fs/promises'
import { DatabaseSync } from '@photostructure/sqlite'
import { describe, expect, it } from 'vitest'
import type { ServerName } from '../../../src/matrix/identifiers.ts'
import { assertDurable, openWriter } from '../../../src/store/sqlite/connection.ts'
import { FIRST_VERSION, MIGRATIONS } from '../../../src/store/sqlite/schema.ts'
import { claimFor, dueAt } from '../claiming.ts'
import { accept, CAROL, DAVE, extremityNames, importRoom, knock, membershipOf } from '../sample-room.ts'
import { temporaryStore } from './temporary-store.ts'

const THERE = 'there.test' as ServerName

describe('the SQLite file', () => {
  it('is readable by its owner only, with its log', async () => {
    const file = await temporaryStore()
    await importRoom(await file.open())
    for (const suffix of ['', '-wal', '-shm']) expect((await stat(file.path + suffix)).mode & 0o777).toBe(0o600)
  })

  it('has all that was answered when it is opened again', async () => {
    const file = await temporaryStore()
    const first = await file.open()
    await importRoom(first)
    await accept(first, knock('k', CAROL, ['bob']))
    await first.close()
    const second = await file.open()
    expect(await membershipOf(second, CAROL)).toBe('knock')
    expect(await extremityNames(second)).toEqual(['k'])
    expect(await accept(second, knock('k', CAROL, ['bob']))).toEqual({ kind: 'duplicate' })
  })

  it('G3: gives the same transaction after a restart, and goes on with what was not yet turned into rows', async () => {
    const file = await temporaryStore()
    const first = await file.open()
    await importRoom(first)
    await accept(first, knock('k1', CAROL, ['bob']))
    await first.expand()
    const before = await claimFor(first, Date.now(), THERE)
    await accept(first, knock('k2', DAVE, ['bob']))
    await first.close()

    const second = await file.open()
    expect(await dueAt(second, Date.now())).toEqual([before])
    expect(await second.expand()).toBe(false)
    expect(await claimFor(second, Date.now(), THERE)).toEqual(before)
    await second.delivered(THERE, before?.txnId ?? '')
    expect((await claimFor(second, Date.now(), THERE))?.events).toHaveLength(1)
  })

  it('G3: knows after a restart how often a delivery failed and when it is due', async () => {
    const file = await temporaryStore()
    const first = await file.open()
    await importRoom(first)
    await accept(first, knock('k', CAROL, ['bob']))
    await first.expand()
    const claimed = await claimFor(first, Date.now(), THERE)
    const retryAt = Date.now() + 3_600_000
    await first.failed(THERE, claimed?.txnId ?? '', { retryAt, notBefore: retryAt, reason: 'the server answers 503' })
    await first.close()

    const second = await file.open()
    expect(await dueAt(second, retryAt - 1)).toEqual([])
    expect(await second.resume([THERE])).toBe(false)
    expect(await second.nextDue()).toBe(retryAt)
    expect(await dueAt(second, retryAt)).toEqual([{ ...claimed, attempts: 1 }])
  })

  it('of a newer version is refused with a sentence for the operator', async () => {
    const file = await temporaryStore()
    await (await file.open()).close()
    const db = new DatabaseSync(file.path)
    db.exec(`PRAGMA user_version = ${FIRST_VERSION + MIGRATIONS.length}`)
    db.close()
    await expect(file.open()).rejects.toThrow(/schema version \d+.*use a newer program/)
  })

  it('of a program before 0.1.0 is refused', async () => {
    const file = await temporaryStore()
    await (await file.open()).close()
    const db = new DatabaseSync(file.path)
    db.exec('PRAGMA user_version = 6')
    db.close()
    await expect(file.open()).rejects.toThrow(/schema version 6, of a program before 0\.1\.0: start with a new store/)
  })

  it('that is no database is refused', async () => {
    const file = await temporaryStore()
    const { writeFile } = await import('node:fs/promises')
    await writeFile(file.path, 'this is a text file, not a database'.repeat(100))
    await expect(file.open()).rejects.toThrow(/not a database/)
  })

  it('of another program is refused, and left as it is', async () => {
    const file = await temporaryStore()
    const others = [
      'PRAGMA application_id = 7',
      'CREATE TABLE notes (text TEXT)',
      'PRAGMA user_version = 1; CREATE TABLE n (t)',
    ]
    for (const sql of others) {
      const db = new DatabaseSync(file.path)
      db.exec(sql)
      db.close()
      const before = await readFile(file.path)
      await expect(file.open(), sql).rejects.toThrow(/database of another program: set store.path/)
      expect((await readFile(file.path)).equals(before), sql).toBe(true)
      await rm(file.path)
    }
  })

  it('holds everything by itself once the store is closed', async () => {
    const file = await temporaryStore()
    const store = await file.open()
    await importRoom(store)
    await accept(store, knock('k', CAROL, ['bob']))
    await store.close()
    const copy = await temporaryStore()
    await copyFile(file.path, copy.path)
    expect(await membershipOf(await copy.open(), CAROL)).toBe('knock')
  })

  it.each([
    ['removed', async (path: string) => rm(path)],
    ['replaced', async (path: string) => rename(`${path}.other`, path)],
    ['parted from its log, which was removed', async (path: string) => rm(`${path}-wal`)],
  ] as const)('that was %s while it is in use takes no more knocks, and says so', async (_what, change) => {
    const file = await temporaryStore()
    const store = await file.open()
    const lost: string[] = []
    store.onLost((reason) => lost.push(reason))
    await importRoom(store)
    await copyFile(file.path, `${file.path}.other`)
    expect(await store.check()).toEqual({ ok: true })
    await change(file.path)
    const reason = expect.stringMatching(/was (removed|replaced) while it was in use/)
    expect(await accept(store, knock('k', CAROL, ['bob']))).toEqual({ kind: 'failed', reason })
    expect(lost).toEqual([reason])
    store.onLost((again) => lost.push(again))
    expect(lost).toHaveLength(2)
    expect(await store.check()).toEqual({ ok: false, reason })
    await store.close()
  })

  it('that was removed is missed without a knock, when somebody asks for its health', async () => {
    const file = await temporaryStore()
    const store = await file.open()
    const lost: string[] = []
    store.onLost((reason) => lost.push(reason))
    await rm(file.path)
    expect(await store.check()).toEqual({ ok: false, reason: expect.stringContaining('removed while it was in use') })
    expect(lost).toHaveLength(1)
  })

  it('that is closed as it should be is not lost', async () => {
    const store = await (await temporaryStore()).open()
    const lost: string[] = []
    store.onLost((reason) => lost.push(reason))
    await store.close()
    store.onLost((reason) => lost.push(reason))
    expect(lost).toEqual([])
  })

  it('is written only by connections that sync before a commit returns', async () => {
    const file = await temporaryStore()
    const db = openWriter({ path: file.path })
    expect(() => assertDurable(db)).not.toThrow()
    db.exec('PRAGMA synchronous = NORMAL')
    expect(() => assertDurable(db)).toThrow(/synchronous level is 1/)
    db.exec('PRAGMA synchronous = FULL')
    db.exec('PRAGMA journal_mode = DELETE')
    expect(() => assertDurable(db)).toThrow(/journal mode is delete/)
    db.close()
  })

  it('answers what comes after the end with a failure, and never hangs', async () => {
    const file = await temporaryStore()
    const store = await file.open()
    await importRoom(store)
    const inFlight = accept(store, knock('k', CAROL, ['bob']))
    await inFlight
    await store.close()
    const late = { roomId: '!r:x', sender: CAROL, decision: { facts: {} }, skipServers: [] }
    const outcome = await store.commitKnock({
      ...late,
      event: knock('late', CAROL, ['bob']),
      expect: { factsRevision: 1, membership: undefined },
    } as unknown as Parameters<typeof store.commitKnock>[0])
    expect(outcome).toEqual({ kind: 'failed', reason: 'the store is closed' })
  })
})
