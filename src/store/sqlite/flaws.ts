/** What is wrong with the file: damage that SQLite finds, and rows that break what holds in every store. */
import { type BrokenRow, invariants, MOST_TOLD } from '../invariants.ts'
import type { Database } from './database.ts'
import { countOf, HELD } from './schema.ts'

const INVARIANTS = invariants({
  serverOf: (column) => `substr(${column}, instr(${column}, ':') + 1)`,
  isTrue: (column) => `(${column} = 1)`,
})

export function findFlaws(db: Database): readonly string[] {
  const damage = damageOf(db)
  // In a damaged file no further answer means anything.
  if (damage.length > 0) return damage.map((found) => `the file is damaged: ${found}`)
  return [...INVARIANTS.flatMap(({ sql, tell }) => (db.prepare(sql).all() as BrokenRow[]).map(tell)), ...miscounted(db)]
}

/** What the store holds is not what its triggers have counted. */
function miscounted(db: Database): readonly string[] {
  const rows =
    db.prepare(`SELECT h.name FROM holdings h JOIN (${HELD.map(countOf).join(' UNION ALL ')}) c ON c.name = h.name
    WHERE h.row_count <> c.row_count OR h.bytes <> c.bytes`)
  return (rows.all() as { name: string }[]).map(({ name }) => `holdings: ${name} are not as many as are counted`)
}

function damageOf(db: Database): readonly string[] {
  try {
    const rows = db.prepare(`PRAGMA integrity_check(${MOST_TOLD})`).all() as { integrity_check: string }[]
    return rows.map(({ integrity_check: found }) => found).filter((found) => found !== 'ok')
  } catch (error) {
    // Damage can be such that even the search for it fails.
    return [(error as Error).message]
  }
}
