import { describe, expect, it } from 'vitest'
import { BREAKAGES, fillStore } from '../breakages.ts'
import { temporaryStore } from './temporary-store.ts'

describe('the check of a PostgreSQL store', () => {
  it.each(BREAKAGES)('finds what %s does', async (sql, told) => {
    const schema = await temporaryStore()
    const store = await schema.open()
    await fillStore(store)
    expect(await store.flaws()).toEqual([])
    await schema.query(sql)
    const flaws = await store.flaws()
    for (const sentence of told) expect(flaws).toContainEqual(expect.stringContaining(sentence))
  })
})
