/** Both stores go the same way through any sequence of knocks, imports, settlements and time. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'
import { DAY, type TestStore } from './contract.ts'
import { expectSameHistories } from './room-histories.ts'

describe('the memory store is a model of the SQLite store', () => {
  let now = 1_700_000_000_000
  let directory: string
  let sqlite: TestStore
  const memory = createMemoryStore({ clock: () => now, historyMs: DAY })
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'knock-model-'))
    sqlite = await openSqliteStore({
      path: join(directory, 'knock.db'),
      clock: () => now,
      historyMs: DAY,
      abandonedMs: 1e12,
    })
  })
  afterAll(async () => {
    await sqlite.close()
    await rm(directory, { recursive: true })
  })

  it('whatever happens in whatever order, both show the same', { timeout: 120_000 }, async () => {
    const advance = (ms: number) => {
      now += ms
    }
    await expectSameHistories([memory, sqlite], advance, 60)
  })
})
