/**
 * Removes what is no longer kept, a bounded number of rows at a time, by one process at a time.
 * docs/architecture.md, "What is kept of a room".
 */
import type { CommonJobs } from '../jobs.ts'
import { ATTEMPT_MS } from '../retention.ts'
import type { Database, Run, Statement, Value } from './database.ts'
import { createAcceptedForgetting } from './forget-accepted.ts'
import type { Handlers } from './job-runner.ts'
import { LOCKS } from './migrate.ts'

/** Rows that one pass may remove. */
const PASS_ROWS = 500
/** Servers whose keys are kept; the ones fetched last win. */
const MAX_KEY_SERVERS = 100_000

const LOCK: Statement = {
  name: 'prune-lock',
  text: 'SELECT pg_try_advisory_xact_lock($1::integer, hashtext(current_schema())) AS ours',
}
const OUTDATE: Statement = {
  name: 'prune-outdate',
  text: `
    UPDATE snapshots SET phase = 'dropping'
    WHERE (phase = 'staging' AND changed_at < $1) OR (phase = 'former' AND changed_at <= $2)`,
}

/** Statements that remove rows answer one row for each; the last parameter is how many they may. */
function removal(name: string, table: string, condition: string, limit: string): Statement {
  const rows = `SELECT ctid FROM ${table} WHERE ${condition} LIMIT ${limit}`
  return { name, text: `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(${rows})) RETURNING 1 AS removed` }
}
const ENDED: readonly Statement[] = ['state', 'extremities'].map((table) =>
  removal(`prune-ended-${table}`, table, 'ended_at <= $1', '$2'),
)
const REFUSALS = removal('prune-refusals', 'decisions', 'refused AND seq <= $1', '$2')
const NEWEST_TO_GO: Statement = {
  name: 'prune-newest-refusal',
  text: 'SELECT seq FROM decisions WHERE refused ORDER BY seq DESC OFFSET $1 LIMIT 1',
}
/** As far as there is space. A table that takes up less has space for all of them. */
const NEWEST_TOO_LARGE: Statement = {
  name: 'prune-newest-too-large',
  text: `
    SELECT seq FROM (
      SELECT seq, sum(octet_length(json) + octet_length(room_id) + octet_length(user_id)) OVER (ORDER BY seq DESC) AS bytes
      FROM decisions WHERE refused) r
    WHERE bytes > $1::bigint ORDER BY seq DESC LIMIT 1`,
}
const DECISION_BYTES: Statement = {
  name: 'prune-decision-bytes',
  text: `SELECT pg_total_relation_size('decisions') AS bytes`,
}
const DECISIONS = removal('prune-decisions', 'decisions', 'recorded_at <= $1', '$2')
const OLD_ATTEMPTS = removal('prune-attempts', 'knock_attempts', 'begun_at <= $1', '$2')
const OLD_KEYS = removal('prune-old-keys', 'server_keys', 'fetched_at <= $1', '$2')
const SURPLUS_KEYS: Statement = {
  name: 'prune-keys',
  text: `
    DELETE FROM server_keys WHERE server = ANY (ARRAY(
      SELECT server FROM server_keys ORDER BY fetched_at DESC OFFSET ${MAX_KEY_SERVERS} LIMIT $1)) RETURNING 1 AS removed`,
}

const NEXT: Statement = {
  name: 'prune-next-snapshot',
  text: `SELECT snapshot, room FROM snapshots WHERE phase = 'dropping' LIMIT 1`,
}
const OF_SNAPSHOT: readonly Statement[] = [
  removal('prune-state', 'state', 'snapshot = $1', '$2'),
  removal('prune-events', 'events', 'snapshot = $1 AND snapshot > 0', '$2'),
  removal('prune-servers', 'joined_servers', 'snapshot = $1', '$2'),
  removal('prune-flaws', 'flaws', 'snapshot = $1', '$2'),
  removal('prune-knocks', 'knocks', 'snapshot = $1', '$2'),
  // Those that ended are removed by their age, which is never less than the snapshot's.
  removal('prune-extremities', 'extremities', 'snapshot = $1 AND to_revision IS NULL', '$2'),
]
const SNAPSHOT: Statement = { name: 'prune-snapshot', text: 'DELETE FROM snapshots WHERE snapshot = $1' }
const LOCK_EMPTY: Statement = {
  name: 'prune-lock-room',
  text: 'SELECT room FROM rooms WHERE room = $1 AND snapshot IS NULL FOR UPDATE',
}
const EMPTY: Statement = {
  name: 'prune-room',
  text: `
    DELETE FROM rooms r WHERE r.room = $1 AND r.snapshot IS NULL
      AND NOT EXISTS (SELECT 1 FROM snapshots n WHERE n.room = r.room)`,
}

/** What processes held that are gone for long. */
const CLAIMS: Statement = {
  name: 'prune-claims',
  text: `DELETE FROM claims WHERE seen_at < clock_timestamp() - interval '1 hour'`,
}

export function createPruning(database: Database): Pick<Handlers<CommonJobs>, 'prune'> {
  const removeRefusals = createRefusalLimit()
  const forgetAccepted = createAcceptedForgetting()
  return {
    prune: ({ now, historyMs, decisionMs, keyMs, abandonedMs, maxRefusals, refusalBytes }) =>
      database.transaction(async (run) => {
        const [lock] = await run<{ ours: boolean }>(LOCK, [LOCKS.prune])
        if (lock?.ours !== true) return false
        const ended = Math.floor(now - historyMs)
        await run(OUTDATE, [now - abandonedMs, ended])
        await run(CLAIMS)
        let budget = PASS_ROWS
        const spend = async (statement: Statement, ...values: Value[]) => {
          if (budget > 0) budget -= (await run(statement, [...values, budget])).length
        }
        for (const statement of ENDED) await spend(statement, ended)
        const recorded = Math.floor(now - decisionMs)
        await spend(OLD_ATTEMPTS, Math.floor(now - ATTEMPT_MS))
        await spend(DECISIONS, recorded)
        if (budget > 0) budget -= await removeRefusals(run, { most: maxRefusals, mostBytes: refusalBytes }, budget)
        await spend(OLD_KEYS, Math.floor(now - keyMs))
        await spend(SURPLUS_KEYS)
        if (budget > 0) budget -= await forgetAccepted(run, recorded, budget)
        if (budget > 0) budget -= await dropSnapshot(run, budget)
        return budget <= 0
      }),
  }
}

/** Removes rows of a snapshot that is out of use; how many. */
async function dropSnapshot(run: Run, budget: number): Promise<number> {
  const [dropped] = await run<{ snapshot: number; room: number }>(NEXT)
  if (dropped === undefined) return 0
  let removed = 0
  for (const statement of OF_SNAPSHOT) {
    if (removed < budget) removed += (await run(statement, [dropped.snapshot, budget - removed])).length
  }
  if (removed >= budget) return removed
  await run(SNAPSHOT, [dropped.snapshot])
  // An import that begins holds the room's row: whether there is one is asked once we hold it.
  await run(LOCK_EMPTY, [dropped.room])
  await run(EMPTY, [dropped.room])
  // Another one may be waiting: the pass is not the last.
  return budget
}

interface RefusalSpace {
  readonly most: number
  readonly mostBytes: number
}

/** Keeps the newest refusals; how many were removed. */
function createRefusalLimit(): (run: Run, space: RefusalSpace, budget: number) => Promise<number> {
  let upTo: number | undefined
  return async (run, space, budget) => {
    // Finding where they end walks over all that stay: once for as many passes as it takes to remove the others.
    upTo ??= await newestToGo(run, space)
    if (upTo === undefined) return 0
    const removed = (await run(REFUSALS, [upTo, budget])).length
    if (removed < budget) upTo = undefined
    return removed
  }
}

async function newestToGo(run: Run, { most, mostBytes }: RefusalSpace): Promise<number | undefined> {
  const [tooMany] = await run<{ seq: number }>(NEWEST_TO_GO, [most])
  const [table] = await run<{ bytes: number }>(DECISION_BYTES)
  if ((table?.bytes ?? 0) <= mostBytes) return tooMany?.seq
  const [tooLarge] = await run<{ seq: number }>(NEWEST_TOO_LARGE, [mostBytes])
  return Math.max(tooMany?.seq ?? 0, tooLarge?.seq ?? 0) || undefined
}
