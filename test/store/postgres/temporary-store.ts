/** Tables of its own for one test, in a schema of a server that others use too, and stores on them. */
import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { inject, onTestFinished } from 'vitest'
import {
  openPostgresStore,
  type PostgresStore,
  type PostgresStoreOptions,
} from '../../../src/store/postgres/postgres-store.ts'

export interface Schema {
  /** Reaches the schema, and nothing else, without naming it. */
  readonly url: string
  /** Runs a statement beside the stores. */
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
  drop(): Promise<void>
}

export interface TemporaryStore extends Schema {
  open(options?: Partial<PostgresStoreOptions>): Promise<PostgresStore>
  /** How many rows each table has. */
  rows(): Promise<Readonly<Record<string, number>>>
}

/** @param server a URL that reaches it */
export async function createSchema(server = inject('postgresUrl')): Promise<Schema> {
  const name = `t${randomUUID().replaceAll('-', '')}`
  await once(server, `CREATE SCHEMA ${name}`)
  const url = `${server}?options=${encodeURIComponent(`-c search_path=${name}`)}`
  return {
    url,
    query: (text, values) => once(url, text, values),
    async drop() {
      await once(server, `SET client_min_messages = warning; DROP SCHEMA ${name} CASCADE`)
    },
  }
}

/** Everything is closed and removed when the test ends. */
export async function temporaryStore(server?: string): Promise<TemporaryStore> {
  const schema = await createSchema(server)
  const opened: PostgresStore[] = []
  onTestFinished(async () => {
    for (const store of opened) await store.close()
    await schema.drop()
  })
  return {
    ...schema,
    async open(options = {}) {
      const store = await openPostgresStore({ url: schema.url, clock: Date.now, ...options })
      opened.push(store)
      return store
    },
    async rows() {
      const tables = await schema.query<{ name: string }>(
        'SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()',
      )
      const counts: Record<string, number> = {}
      for (const { name } of tables) {
        const [row] = await schema.query<{ n: string }>(`SELECT count(*) AS n FROM ${name}`)
        counts[name] = Number(row?.n)
      }
      return counts
    },
  }
}

async function once<Row>(url: string, text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text, [...values])).rows as Row[]
  } finally {
    await client.end()
  }
}
