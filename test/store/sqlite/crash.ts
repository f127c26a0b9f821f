/** A SQLite store whose process ends without a word. */
import { cpSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteStore, type SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts'

export interface CrashingStore {
  store: SqliteStore
  /** Goes on with a new store on what the files held at this moment, the log included. */
  crash(): Promise<void>
  remove(): Promise<void>
}

export async function crashingStore(clock: () => number): Promise<CrashingStore> {
  const fresh = (): string => mkdtempSync(join(tmpdir(), 'knock-crash-'))
  const open = (directory: string) => openSqliteStore({ path: join(directory, 'knock.db'), clock })
  let directory = fresh()
  const crashing: CrashingStore = {
    store: await open(directory),
    async crash() {
      // Upkeep is done: nobody writes while the files are copied.
      await crashing.store.prune()
      const next = fresh()
      for (const name of ['knock.db', 'knock.db-wal']) cpSync(join(directory, name), join(next, name))
      await crashing.remove()
      directory = next
      crashing.store = await open(directory)
    },
    async remove() {
      await crashing.store.close()
      await rm(directory, { recursive: true })
    },
  }
  return crashing
}
