/** What the database holds: counted where that is quick, else as the database itself estimates it. */
import type { HeldKind, Holdings } from '../../knock/ports/rooms.ts'
import type { Database, Statement } from './database.ts'

/** Rows that are counted one by one. */
const COUNTED = 10_000

const TABLE_OF: Readonly<Record<HeldKind, string>> = {
  rooms: 'rooms',
  events: 'events',
  decisions: 'decisions',
  attempts: 'knock_attempts',
  outbox: 'deliveries',
  keys: 'server_keys',
}

const KINDS = Object.entries(TABLE_OF).map(
  ([kind, table]) => `
    SELECT '${kind}' AS kind, '${table}'::regclass AS relation,
      (SELECT count(*) FROM (SELECT 1 FROM ${table} LIMIT ${COUNTED}) AS r) AS counted`,
)

const READ: Statement = {
  name: 'holdings',
  text: `
    SELECT k.kind, pg_total_relation_size(k.relation) AS bytes,
      CASE WHEN k.counted < ${COUNTED} THEN k.counted ELSE greatest(c.reltuples::bigint, ${COUNTED}) END AS rows
    FROM (${KINDS.join(' UNION ALL ')}) k JOIN pg_class c ON c.oid = k.relation`,
}

interface HeldRow {
  readonly kind: HeldKind
  readonly rows: number
  readonly bytes: number
}

export function createHoldingsReader({ run }: Database): () => Promise<Holdings> {
  return async () => {
    const rows = await run<HeldRow>(READ)
    return Object.fromEntries(rows.map(({ kind, rows: held, bytes }) => [kind, { rows: held, bytes }])) as Holdings
  }
}
