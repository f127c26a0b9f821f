/**
 * What every connection must be before a statement runs on it: on a server that keeps what it confirms, with the
 * settings that this store's statements are written for.
 */
import type { ClientBase } from 'pg'
import { DatabaseFailure } from './failures.ts'

/** https://www.postgresql.org/support/versioning/ */
const LEAST_VERSION = 140_000

export interface SessionOptions {
  readonly statementTimeoutMs: number
  /** Something that the operator should mend although the store works. */
  readonly warn: (message: string) => void
}

interface Found {
  readonly version: number
  readonly fsync: string
  readonly fullPageWrites: string
  readonly synchronousCommit: string
  readonly standby: boolean
}

/** A confirmed commit is on disk here: these and no weaker. */
const DURABLE = ['on', 'remote_apply']

/**
 * Every statement is a point look-up: one generic plan over indexes is right for all arguments, also right after an
 * import, when there are no statistics yet. A merge join would read the index of all events to find a few. A transaction
 * whose process is gone or frozen must not hold a room's row.
 */
const SETTINGS = {
  default_transaction_isolation: 'read committed',
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_mergejoin: 'off',
  jit: 'off',
  bytea_output: 'hex',
}

const PREPARE = `
  SELECT current_setting('server_version_num')::integer AS version, current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS "fullPageWrites", current_setting('synchronous_commit') AS "synchronousCommit",
    pg_is_in_recovery() AS standby,
    set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN (${quoted(DURABLE)})
      THEN current_setting('synchronous_commit') ELSE 'on' END, false) AS durable,
    set_config('statement_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $1, false),
    ${Object.entries(SETTINGS)
      .map(([name, value]) => `set_config('${name}', '${value}', false)`)
      .join(', ')}`

/** Prepares new connections. Warns once of each thing, however many connections there are. */
export function createSessionSetup({
  statementTimeoutMs,
  warn,
}: SessionOptions): (client: ClientBase) => Promise<void> {
  const said = new Set<string>()
  const once = (message: string) => {
    if (said.has(message)) return
    said.add(message)
    warn(message)
  }
  return async (client) => {
    const { rows } = await client.query<Found>(PREPARE, [`${statementTimeoutMs}ms`])
    const found = rows[0] as Found
    refuseUnfit(found)
    if (!DURABLE.includes(found.synchronousCommit)) {
      once(
        `the database's synchronous_commit is ${found.synchronousCommit}: this service sets it to on for its own connections, because its answer 200 promises that a knock is on disk`,
      )
    }
    if (found.fullPageWrites !== 'on') {
      once(
        "the database's full_page_writes is off: a crash can damage it, unless its file system never writes half a page; mend it with `full_page_writes = on` in postgresql.conf",
      )
    }
  }
}

/** @throws DatabaseFailure where the server cannot keep what is written, or not yet */
function refuseUnfit({ version, fsync, standby }: Found): void {
  if (version < LEAST_VERSION) {
    throw new DatabaseFailure(
      'refused',
      `the database is PostgreSQL ${Math.floor(version / 10_000)}, expected 14 or newer`,
    )
  }
  if (fsync !== 'on') {
    throw new DatabaseFailure(
      'refused',
      "the database's fsync is off: what it confirms is lost in a crash; mend it with `fsync = on` in postgresql.conf",
    )
  }
  // What a failover looks like while it is under way.
  if (standby) throw new DatabaseFailure('unreachable', 'the database is a standby, which cannot be written')
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(', ')
}
