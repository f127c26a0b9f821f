/** Rows that break what holds in every store. Damage of its files is for the database to find. */
import type { StoreHealth } from '../../knock/ports/store.ts'
import { type BrokenRow, invariants } from '../invariants.ts'
import { text } from './bytea.ts'
import type { Database, Statement } from './database.ts'

const PATIENCE_MS = 10 * 60_000
/** Whole tables are read here. */
const PATIENCE: Statement = {
  text: `SET LOCAL statement_timeout = ${PATIENCE_MS}; SET LOCAL enable_seqscan = on`,
}

const INVARIANTS = invariants({
  serverOf: (column) => `substring(${column} FROM position(':'::bytea IN ${column}) + 1)`,
  isTrue: (column) => column,
})

export function createFlawSearch(database: Database): StoreHealth['flaws'] {
  return () =>
    database.transaction(async (run) => {
      await run(PATIENCE)
      const flaws: string[] = []
      for (const { sql, tell } of INVARIANTS) {
        const rows = await run<Record<string, unknown>>({ text: sql, withinMs: PATIENCE_MS })
        flaws.push(...rows.map((row) => tell(legible(row))))
      }
      return flaws
    })
}

function legible(row: Record<string, unknown>): BrokenRow {
  const entries = Object.entries(row).map(([name, value]) => [name, Buffer.isBuffer(value) ? text(value) : value])
  return Object.fromEntries(entries) as BrokenRow
}
