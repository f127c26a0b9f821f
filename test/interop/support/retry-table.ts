/** What a Synapse remembers of servers that failed: its table `destinations`, and how an administrator clears an entry. */
import { dirname, join } from 'node:path'
import { DatabaseSync } from '@photostructure/sqlite'
import type { Client } from './client.ts'
import type { Homeserver } from './homeserver.ts'

export interface RetryTable {
  /** How long a server is left alone, in milliseconds; 0 where it is not. */
  intervalFor(server: string): Promise<number>
  /** Has a server tried again at once. */
  forget(server: string): Promise<void>
}

const BUSY_MS = 10_000

export async function openRetryTable({ configPath, registerAdmin }: Homeserver): Promise<RetryTable> {
  const database = join(dirname(configPath), 'synapse.db')
  const administrator: Client = await registerAdmin('administrator')
  const pathOf = (server: string): string => `/_synapse/admin/v1/federation/destinations/${encodeURIComponent(server)}`
  return {
    async intervalFor(server) {
      // Synapse writes the entry behind its answer, by the one connection that it has: what asks it now comes after that.
      await administrator.call('GET', pathOf(server))
      const connection = new DatabaseSync(database, { readOnly: true, timeout: BUSY_MS })
      try {
        const row = connection.prepare('SELECT retry_interval FROM destinations WHERE destination = ?').get(server)
        return Number((row as { retry_interval: number | null } | undefined)?.retry_interval ?? 0)
      } finally {
        connection.close()
      }
    },
    async forget(server) {
      const { status, text } = await administrator.call('POST', `${pathOf(server)}/reset_connection`, {})
      // It is 400 and 404 where there is nothing to clear.
      if (![200, 400, 404].includes(status)) throw new Error(`the entry of ${server} stays: ${status} ${text}`)
    },
  }
}
