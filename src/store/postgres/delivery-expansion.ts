/**
 * Turns accepted knocks into rows per destination, in chunks. Several processes may do so at once: each takes knocks that
 * no other has in hand. docs/architecture.md, "A commit".
 */
import type { Clock } from '../../knock/ports/rooms.ts'
import { EXPANDED_SERVERS } from '../outgoing-transaction.ts'
import { bytes, text } from './bytea.ts'
import type { Database, Run, Statement } from './database.ts'

/** Knocks that one transaction takes in hand. */
const KNOCKS = 25

const ANY: Statement = { name: 'outbox-any', text: 'SELECT event FROM outbox LIMIT 1' }
/** A snapshot that is gone after the kept history leaves the servers of the one in use. */
const TAKE: Statement = {
  name: 'outbox-take',
  text: `
    SELECT o.event, o.skip_servers AS "skipServers", o.last_server AS "lastServer", o.queued_at AS "queuedAt",
      CASE WHEN n.phase IN ('current', 'former') THEN o.snapshot ELSE r.snapshot END AS snapshot
    FROM outbox o JOIN events e ON e.event = o.event JOIN rooms r ON r.room = e.room
      LEFT JOIN snapshots n ON n.snapshot = o.snapshot
    ORDER BY o.event LIMIT ${KNOCKS} FOR UPDATE OF o SKIP LOCKED`,
}
const SERVERS: Statement = {
  name: 'outbox-servers',
  text: `
    SELECT k.at, j.server FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY k(snapshot, after, at)
      CROSS JOIN LATERAL (
        SELECT s.server FROM joined_servers s WHERE s.snapshot = k.snapshot AND s.server > k.after
        ORDER BY s.server LIMIT ${EXPANDED_SERVERS}) j
    ORDER BY k.at, j.server LIMIT ${EXPANDED_SERVERS}`,
}
/** In the order of names, as every process does: so none waits for another that waits for it. */
const ENQUEUE: Statement = {
  name: 'outbox-enqueue',
  text: `
    WITH added AS (
      INSERT INTO deliveries (destination, event, queued_at)
      SELECT i.destination, i.event, i.queued_at FROM unnest($1::bytea[], $2::bigint[], $3::bigint[])
        i(destination, event, queued_at) ORDER BY i.destination, i.event
      ON CONFLICT DO NOTHING RETURNING destination, queued_at)
    INSERT INTO destinations AS d (destination, due_at, waiting, oldest_at, slow)
    SELECT a.destination, $4, count(*), min(a.queued_at),
      EXISTS (SELECT 1 FROM slow_servers w WHERE w.server = a.destination) FROM added a GROUP BY a.destination ORDER BY a.destination
    ON CONFLICT (destination) DO UPDATE SET waiting = d.waiting + excluded.waiting`,
}
const PROCEED: Statement = { name: 'outbox-proceed', text: 'UPDATE outbox SET last_server = $2 WHERE event = $1' }
const FINISH: Statement = { name: 'outbox-finish', text: 'DELETE FROM outbox WHERE event = ANY ($1::bigint[])' }

interface OutboxRow {
  readonly event: number
  readonly snapshot: number
  readonly skipServers: Buffer
  readonly lastServer: Buffer
  readonly queuedAt: number
}

interface ServerRow {
  readonly at: number
  readonly server: Buffer
}

/** @returns the port's `expand` */
export function createExpansion(database: Database, clock: Clock): () => Promise<boolean> {
  return async () => {
    if ((await database.run(ANY)).length === 0) return false
    return database.transaction((run) => expand(run, clock()))
  }
}

async function expand(run: Run, now: number): Promise<boolean> {
  const knocks = await run<OutboxRow>(TAKE)
  if (knocks.length === 0) return false
  const snapshots = knocks.map(({ snapshot }) => snapshot)
  const servers = await run<ServerRow>(SERVERS, [snapshots, knocks.map(({ lastServer }) => lastServer)])
  await enqueue(run, knocks, servers, now)

  // Where the servers are cut off, the knock at which they are goes on from there, and those behind it wait.
  const cut = servers.length === EXPANDED_SERVERS ? servers.at(-1) : undefined
  const finished = cut === undefined ? knocks : knocks.slice(0, cut.at - 1)
  await run(FINISH, [finished.map(({ event }) => event)])
  const unfinished = cut && knocks[cut.at - 1]
  if (cut !== undefined && unfinished !== undefined) await run(PROCEED, [unfinished.event, cut.server])
  return cut !== undefined || knocks.length === KNOCKS
}

async function enqueue(
  run: Run,
  knocks: readonly OutboxRow[],
  servers: readonly ServerRow[],
  now: number,
): Promise<void> {
  const skipped = knocks.map(({ skipServers }) => new Set(JSON.parse(text(skipServers)) as string[]))
  const rows = servers.flatMap(({ at, server }) => {
    const knock = knocks[at - 1]
    if (knock === undefined || skipped[at - 1]?.has(text(server)) === true) return []
    return [{ destination: text(server), event: knock.event, queuedAt: knock.queuedAt }]
  })
  if (rows.length === 0) return
  await run(ENQUEUE, [
    rows.map(({ destination }) => bytes(destination)),
    rows.map(({ event }) => event),
    rows.map(({ queuedAt }) => queuedAt),
    now,
  ])
}
