/** A real PostgreSQL server of one part: a cluster of its own on loopback, gone when the part or the benchmark ends. */
import { once } from 'node:events'
import { Client } from 'pg'
import { answerOf, forkUntilDisconnected } from './forked.ts'
import type { PostgresPlace } from './store-place.ts'

export interface BenchPostgres {
  /**
   * Makes an empty database.
   * @param poolSize most connections to it of one service
   */
  createDatabase(name: string, poolSize: number): Promise<PostgresPlace>
  close(): Promise<void>
}

export async function startBenchPostgres(): Promise<BenchPostgres> {
  const keeper = forkUntilDisconnected('./postgres-keeper.ts')
  const server = await answerOf<string>(keeper)
  return {
    async createDatabase(name, poolSize) {
      await query(server, `CREATE DATABASE "${name}"`)
      const url = new URL(server)
      url.pathname = `/${name}`
      return { kind: 'postgres', url: url.href, pool_size: poolSize }
    },
    async close() {
      const ended = once(keeper, 'exit')
      keeper.disconnect()
      await ended
    },
  }
}

/** Runs statements on a connection of their own. @returns the rows of the last */
export async function query<Row>(url: string, ...statements: readonly string[]): Promise<readonly Row[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    let rows: readonly Row[] = []
    for (const text of statements) rows = (await client.query(text)).rows as Row[]
    return rows
  } finally {
    await client.end()
  }
}
