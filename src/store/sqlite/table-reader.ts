/** Whole tables, some rows at a time. */
import type { Table, TableRow } from '../tables.ts'
import type { Database, Parameter } from './database.ts'

const PAGE = 200

/** @param more expressions that are selected beside the table's columns, by name */
export function* readTable(
  db: Database,
  { name, key, columns }: Table,
  more: Readonly<Record<string, string>> = {},
): Generator<readonly TableRow[], void> {
  const selected = [
    ...Object.keys(columns),
    ...Object.entries(more).map(([as, expression]) => `${expression} AS ${as}`),
  ]
  const order = key.join(', ')
  const page = (condition: string) =>
    db.prepare(`SELECT ${selected.join(', ')} FROM ${name} ${condition} ORDER BY ${order} LIMIT ${PAGE}`)
  const behind = page(`WHERE (${order}) > (${key.map(() => '?').join(', ')})`)
  let rows = page('').all() as Record<string, Parameter>[]
  for (let end = rows.at(-1); end !== undefined; end = rows.at(-1)) {
    yield rows.map((row) => withTruths(row, columns))
    const last = end
    rows = behind.all(...key.map((column) => last[column])) as Record<string, Parameter>[]
  }
}

function withTruths(row: Record<string, unknown>, columns: Table['columns']): TableRow {
  const entries = Object.entries(row).map(([name, value]) => [name, columns[name] === 'truth' ? value === 1 : value])
  return Object.fromEntries(entries) as TableRow
}
