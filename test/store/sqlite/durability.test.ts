import { stat } from 'node:fs/promises'
import { DatabaseSync } from '@photostructure/sqlite'
import { describe, expect, it } from 'vitest'
import type { ServerName } from '../../../src/matrix/identifiers.ts'
import { assertDurable, openWriter } from '../../../src/store/sqlite/connection.ts'
import { MIGRATIONS } from '../../../src/store/sqlite/schema.ts'
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
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`)
    db.close()
    await expect(file.open()).rejects.toThrow(/schema version \d+.*use a newer program/)
  })

  it('that is no database is refused', async () => {
    const file = await temporaryStore()
    const { writeFile } = await import('node:fs/promises')
    await writeFile(file.path, 'this is a text file, not a database'.repeat(100))
    await expect(file.open()).rejects.toThrow(/not a database/)
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
