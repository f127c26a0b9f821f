import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import * as postgres from '../../src/store/postgres/schema.ts'
import * as sqlite from '../../src/store/sqlite/schema.ts'

/** Of each migration that was written down, in their order. */
const WRITTEN = {
  sqlite: ['d1332a311a66e3e9'],
  postgres: ['ebb524b7a14eb7b7'],
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)

describe('a migration', () => {
  it.each([
    ['sqlite', sqlite.MIGRATIONS, WRITTEN.sqlite],
    ['postgres', postgres.MIGRATIONS, WRITTEN.postgres],
  ] as const)('of %s is never edited: databases that have it would lack the change', (_store, migrations, written) => {
    const remedy = 'put the migration back as it was, and add another with the change'
    expect(migrations.slice(0, written.length).map(hashOf), remedy).toEqual(written)
    expect(migrations.length, 'write the hash of the new migration down here').toBe(written.length)
  })
})
