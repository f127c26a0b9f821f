/** Other servers' keys, kept across restarts. https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys */
import type { KeyStore } from '../../knock/ports/rooms.ts'
import { decodeKeys, encodeKeys } from '../stored-keys.ts'
import { bytes, text } from './bytea.ts'
import type { Database, Statement } from './database.ts'

const WRITE: Statement = {
  name: 'write-keys',
  text: `
    INSERT INTO server_keys (server, fetched_at, json) VALUES ($1, $2, $3)
    ON CONFLICT (server) DO UPDATE SET fetched_at = excluded.fetched_at, json = excluded.json`,
}
const READ: Statement = {
  name: 'keys',
  text: 'SELECT fetched_at AS "fetchedAt", json FROM server_keys WHERE server = $1',
}

export function createKeyRows({ run }: Database): KeyStore {
  return {
    async readServerKeys(server) {
      const [row] = await run<{ fetchedAt: number; json: Buffer }>(READ, [bytes(server)])
      return row && { server, fetchedAt: row.fetchedAt, keys: decodeKeys(text(row.json)) }
    },
    async writeServerKeys({ server, fetchedAt, keys }) {
      await run(WRITE, [bytes(server), fetchedAt, bytes(encodeKeys(keys))])
    },
  }
}
