/** Other servers' keys, kept across restarts. https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys */
import type { StoredServerKeys } from '../../knock/ports/rooms.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import { decodeKeys } from '../stored-keys.ts'
import type { Database } from './database.ts'
import type { Handlers } from './writer-jobs.ts'

export function createKeyWriter(db: Database): Pick<Handlers, 'writeKeys'> {
  const write = db.prepare(`
    INSERT INTO server_keys (server, fetched_at, json) VALUES (?, ?, ?)
    ON CONFLICT (server) DO UPDATE SET fetched_at = excluded.fetched_at, json = excluded.json`)
  return {
    writeKeys({ server, fetchedAt, json }) {
      write.run(server, fetchedAt, json)
      return null
    },
  }
}

export function createKeyReader(db: Database): (server: ServerName) => StoredServerKeys | undefined {
  const read = db.prepare('SELECT fetched_at AS fetchedAt, json FROM server_keys WHERE server = ?')
  return (server) => {
    const row = read.get(server) as { fetchedAt: number; json: string } | undefined
    return row && { server, fetchedAt: row.fetchedAt, keys: decodeKeys(row.json) }
  }
}
