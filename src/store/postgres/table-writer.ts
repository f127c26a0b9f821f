/** Fills the tables of an empty store, all or nothing. */
import type { ColumnKind, Table, TableRow } from '../tables.ts'
import { TABLES } from '../tables.ts'
import { bytes } from './bytea.ts'
import type { Database, Run, Statement, Value } from './database.ts'
import { DatabaseFailure } from './failures.ts'

const PATIENCE_MS = 10 * 60_000
const PATIENCE: Statement = { text: `SET LOCAL statement_timeout = ${PATIENCE_MS}` }
/** Whoever uses the store meanwhile waits: what it then finds is the whole. */
const LOCK: Statement = { text: `LOCK TABLE ${TABLES.map(({ name }) => name).join(', ')} IN ACCESS EXCLUSIVE MODE` }
const FILLED: Statement = {
  text: `SELECT ${TABLES.map(({ name }) => `EXISTS (SELECT 1 FROM ${name})`).join(' OR ')} AS filled`,
}
const SEQUENCES: Statement = {
  text: [
    ['rooms', 'room'],
    ['snapshots', 'snapshot'],
    ['events', 'event'],
    ['decisions', 'seq'],
  ]
    .map(
      ([table, column]) =>
        `SELECT setval(pg_get_serial_sequence('${table}', '${column}'), coalesce(max(${column}), 0) + 1, false) FROM ${table};`,
    )
    .join('\n'),
}

const TYPES: Readonly<Record<ColumnKind, string>> = {
  name: 'bytea',
  word: 'text',
  number: 'bigint',
  truth: 'boolean',
}

/** The rows of a table, some at a time. */
export type TablePages = (table: Table) => Iterable<readonly TableRow[]>

/**
 * @param finish what else belongs to the transaction
 * @returns how many rows each table was given
 * @throws DatabaseFailure where the store is not empty, or cannot be written; nothing is written then
 */
export function fillTables(
  database: Database,
  pages: TablePages,
  finish: (run: Run) => Promise<void>,
): Promise<ReadonlyMap<string, number>> {
  return database.transactionOnce(async (run) => {
    await run(PATIENCE)
    await run(LOCK)
    const [found] = await run<{ filled: boolean }>(FILLED)
    if (found?.filled !== false) throw new DatabaseFailure('refused', 'the store there is not empty')
    const counts = new Map<string, number>()
    for (const table of TABLES) {
      let count = 0
      for (const rows of pages(table)) {
        await run(insertion(table), valuesOf(table, rows))
        count += rows.length
      }
      counts.set(table.name, count)
    }
    await finish(run)
    await run(SEQUENCES)
    return counts
  })
}

function insertion({ name, columns }: Table): Statement {
  const names = Object.keys(columns).join(', ')
  const lists = Object.values(columns).map((kind, at) => `$${at + 1}::${TYPES[kind]}[]`)
  return {
    name: `fill-${name}`,
    text: `
      INSERT INTO ${name} (${names}) OVERRIDING SYSTEM VALUE
      SELECT ${names} FROM unnest(${lists.join(', ')}) r(${names})`,
    withinMs: PATIENCE_MS,
  }
}

function valuesOf({ columns }: Table, rows: readonly TableRow[]): readonly Value[] {
  return Object.entries(columns).map(([name, kind]) =>
    rows.map((row) => {
      const value = row[name] ?? null
      return kind === 'name' && value !== null ? bytes(String(value)) : value
    }),
  )
}
