/** Moves a whole store from a SQLite file to PostgreSQL: rooms, history, decisions, keys, and all that waits. docs/storage.md */
import { existsSync } from 'node:fs'
import { bytes } from './postgres/bytea.ts'
import { openDatabase, type Run, type Statement } from './postgres/database.ts'
import { migrate } from './postgres/migrate.ts'
import { fillTables } from './postgres/table-writer.ts'
import { closeWriter, openAlone } from './sqlite/connection.ts'
import type { Database } from './sqlite/database.ts'
import { readTable } from './sqlite/table-reader.ts'
import type { Table, TableRow } from './tables.ts'

export interface MigrationOrder {
  /** The SQLite file. */
  readonly path: string
  /** The database. */
  readonly url: string
  /** Told what the operator should mend although the database works. */
  readonly warn: (message: string) => void
}

export type Migration =
  | { readonly kind: 'migrated'; readonly rows: ReadonlyMap<string, number> }
  /** Nothing was written. */
  | { readonly kind: 'refused'; readonly reason: string }

const STATEMENT_TIMEOUT_MS = 60_000
const PATIENCE_MS = 5_000

/** Copies everything, or nothing. The file keeps what it holds; nobody else can open it meanwhile. */
export async function migrateStore({ path, url, warn }: MigrationOrder): Promise<Migration> {
  if (!existsSync(path)) return { kind: 'refused', reason: `${path} is not there` }
  let from: Database
  try {
    from = openAlone(path)
  } catch (error) {
    return { kind: 'refused', reason: `${path} cannot be opened: ${(error as Error).message}` }
  }
  const to = openDatabase({ url, poolSize: 1, statementTimeoutMs: STATEMENT_TIMEOUT_MS, patienceMs: PATIENCE_MS, warn })
  try {
    await migrate(to)
    const transactions: Transaction[] = []
    const rows = await fillTables(
      to,
      (table) => pagesOf(from, table, transactions),
      (run) => giveTransactions(run, transactions),
    )
    return { kind: 'migrated', rows }
  } catch (error) {
    return { kind: 'refused', reason: (error as Error).message }
  } finally {
    await to.close()
    closeWriter(from)
  }
}

/** What a destination is sent next: the file names its last event, the database all of them. */
interface Transaction {
  readonly destination: string
  readonly lastEvent: number
}

const EVENTS: Statement = {
  name: 'fill-transactions',
  text: `
    UPDATE destinations d SET txn_events = ARRAY (
      SELECT v.event FROM deliveries v WHERE v.destination = d.destination AND v.event <= t.last_event ORDER BY v.event)
    FROM unnest($1::bytea[], $2::bigint[]) t(destination, last_event) WHERE d.destination = t.destination`,
}

function* pagesOf(from: Database, table: Table, transactions: Transaction[]): Generator<readonly TableRow[], void> {
  if (table.name !== 'destinations') return yield* readTable(from, table)
  for (const rows of readTable(from, table, { last_event: 'txn_last' })) {
    for (const { destination, last_event: lastEvent } of rows) {
      if (lastEvent !== null) transactions.push({ destination: String(destination), lastEvent: Number(lastEvent) })
    }
    yield rows
  }
}

async function giveTransactions(run: Run, transactions: readonly Transaction[]): Promise<void> {
  const destinations = transactions.map(({ destination }) => bytes(destination))
  await run(EVENTS, [destinations, transactions.map(({ lastEvent }) => lastEvent)])
}
