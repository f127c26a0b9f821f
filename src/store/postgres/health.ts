/** Whether the database can be used now, for `/ready`. */
import type { StoreHealth } from '../../knock/ports/store.ts'
import type { Database, Statement } from './database.ts'
import { DatabaseFailure } from './failures.ts'

const READ: Statement = { name: 'probe-read', text: 'SELECT room FROM rooms LIMIT 1' }
/** Writes what a knock would and takes it out again: whether the server's disk has room for one. */
const WRITE: Statement = {
  name: 'probe-write',
  text: `
    INSERT INTO server_keys (server, fetched_at, json) VALUES ('', 0, decode(repeat('00', 8192), 'hex'))
    ON CONFLICT (server) DO UPDATE SET json = excluded.json`,
}
const REMOVE: Statement = { name: 'probe-remove', text: `DELETE FROM server_keys WHERE server = ''` }

/**
 * Asks once, without waiting for a lost database. While the last knock could not be written, tries whether another can.
 */
export function createHealthCheck(database: Database, lastCommitFailed: () => boolean): StoreHealth['check'] {
  return async () => {
    try {
      await database.runOnce(READ)
    } catch (error) {
      return { ok: false, reason: `the store cannot be read: ${reasonOf(error)}` }
    }
    if (!lastCommitFailed()) return { ok: true }
    try {
      await database.transactionOnce(async (run) => {
        await run(WRITE)
        await run(REMOVE)
      })
      return { ok: true }
    } catch (error) {
      return { ok: false, reason: `the store cannot be written: ${reasonOf(error)}` }
    }
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof DatabaseFailure) return error.message
  throw error
}
