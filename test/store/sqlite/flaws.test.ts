import { open } from 'node:fs/promises'
import { DatabaseSync } from '@photostructure/sqlite'
import { describe, expect, it } from 'vitest'
import { BREAKAGES, fillStore } from '../breakages.ts'
import { importRoom, member, sampleState } from '../sample-room.ts'
import { temporaryStore } from './temporary-store.ts'

describe('the check of a SQLite store', () => {
  it.each(BREAKAGES)('finds what %s does', async (sql, told) => {
    const file = await temporaryStore()
    const store = await file.open()
    await fillStore(store)
    expect(await store.flaws()).toEqual([])
    const beside = new DatabaseSync(file.path)
    beside.exec(sql)
    beside.close()
    const flaws = await store.flaws()
    for (const sentence of told) expect(flaws).toContainEqual(expect.stringContaining(sentence))
  })

  it('tells of damage in the file', async () => {
    const file = await temporaryStore()
    const store = await file.open()
    const crowd = Array.from({ length: 500 }, (_, at) => member(`m${at}`, `@m${at}:x.test`, 'join'))
    await importRoom(store, { state: [...sampleState(), ...crowd] })
    await store.close()
    const db = new DatabaseSync(file.path)
    const { page } = db.prepare(`SELECT rootpage AS page FROM sqlite_schema WHERE name = 'events_by_id'`).get() as {
      page: number
    }
    db.close()
    const handle = await open(file.path, 'r+')
    await handle.write(Buffer.alloc(2_000, 0x55), 0, 2_000, page * 4096 - 2_000)
    await handle.close()
    const flaws = await (await file.open()).flaws()
    expect(flaws.length).toBeGreaterThan(0)
    expect(flaws.every((flaw) => flaw.startsWith('the file is damaged: '))).toBe(true)
  })
})
