/** A SQLite file of its own for one test, that can be opened again, and looked into. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { openReader } from '../../../src/store/sqlite/connection.ts'
import type { Database } from '../../../src/store/sqlite/database.ts'
import { openSqliteStore, type SqliteStore, type SqliteStoreOptions } from '../../../src/store/sqlite/sqlite-store.ts'

export interface TemporaryStore {
  readonly path: string
  open(options?: Partial<SqliteStoreOptions>): Promise<SqliteStore>
  /** How many rows each table has. */
  rows(): Readonly<Record<string, number>>
}

/** Everything is closed and removed when the test ends. */
export async function temporaryStore(): Promise<TemporaryStore> {
  const directory = await mkdtemp(join(tmpdir(), 'knock-store-'))
  const path = join(directory, 'knock.db')
  const opened: SqliteStore[] = []
  onTestFinished(async () => {
    for (const store of opened) await store.close()
    await rm(directory, { recursive: true })
  })
  return {
    path,
    async open(options = {}) {
      const store = await openSqliteStore({ path, clock: Date.now, ...options })
      opened.push(store)
      return store
    },
    rows: () => withReader(path, countRows),
  }
}

export function withReader<Result>(path: string, read: (db: Database) => Result): Result {
  const db = openReader(path)
  try {
    return read(db)
  } finally {
    db.close()
  }
}

function countRows(db: Database): Record<string, number> {
  const tables = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`).all()
  const count = (name: string) => (db.prepare(`SELECT count(*) AS n FROM ${name}`).get() as { n: number }).n
  return Object.fromEntries((tables as { name: string }[]).map(({ name }) => [name, count(name)]))
}
