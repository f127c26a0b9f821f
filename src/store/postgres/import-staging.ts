/**
 * An import while it is staged: rows of a snapshot that no reader sees. A chunk is a few statements, whatever its size,
 * and writing one again after a lost connection changes nothing. docs/architecture.md, "What is kept of a room".
 */
import type { CommonJobs, StageRow } from '../jobs.ts'
import { stateClash } from '../state-clash.ts'
import { bytes } from './bytea.ts'
import type { Database, Run, Statement } from './database.ts'
import { DatabaseFailure } from './failures.ts'
import type { Handlers } from './job-runner.ts'
import { addJoined } from './joined-servers.ts'

const BEGIN: Statement = {
  name: 'import-begin',
  text: `
    WITH r AS (
      INSERT INTO rooms (room_id, version, revision, facts_revision, resident) VALUES ($1, $2, 0, 0, false)
      ON CONFLICT (room_id) DO UPDATE SET room_id = excluded.room_id RETURNING room)
    INSERT INTO snapshots (room, phase, changed_at, version, own_server, discard_knocks)
    SELECT r.room, 'staging', $3, $2, $4, $5 FROM r RETURNING snapshot`,
}
const TOUCH: Statement = {
  name: 'import-touch',
  text: `UPDATE snapshots SET changed_at = $1 WHERE snapshot = $2 AND phase = 'staging' RETURNING room`,
}
const ABORT: Statement = {
  name: 'import-abort',
  text: `UPDATE snapshots SET phase = 'dropping' WHERE snapshot = $1 AND phase = 'staging'`,
}

/** The copy that is state wins over one in the auth chain: of the two, only it may have been redacted. */
const STATE_EVENTS: Statement = {
  name: 'stage-state-events',
  text: `
    INSERT INTO events (room, snapshot, event_id, checked, json)
    SELECT $1, $2, i.event_id, i.checked, i.json
    FROM unnest($3::bytea[], $4::smallint[], $5::bytea[]) i(event_id, checked, json)
    ON CONFLICT (room, event_id, snapshot) DO UPDATE SET checked = excluded.checked, json = excluded.json
    RETURNING event, event_id AS "eventId"`,
}
const OTHER_EVENTS: Statement = {
  name: 'stage-other-events',
  text: `
    INSERT INTO events (room, snapshot, event_id, checked, json)
    SELECT $1, $2, i.event_id, 1, i.json FROM unnest($3::bytea[], $4::bytea[]) i(event_id, json)
    ON CONFLICT (room, event_id, snapshot) DO NOTHING`,
}
/** Answers the place of each row that was new, counted from 1. */
const STATE: Statement = {
  name: 'stage-state',
  text: `
    WITH i AS (
      SELECT * FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[]) WITH ORDINALITY
        i(type, state_key, event, membership, from_revision, at)), added AS (
      INSERT INTO state (snapshot, type, state_key, from_revision, event, membership)
      SELECT $1, i.type, i.state_key, i.from_revision, i.event, i.membership FROM i ORDER BY i.at
      ON CONFLICT (snapshot, type, state_key, from_revision) DO NOTHING RETURNING event)
    SELECT min(i.at) AS at FROM added JOIN i ON i.event = added.event GROUP BY added.event`,
}
const CLASH: Statement = {
  name: 'stage-clash',
  text: `
    UPDATE snapshots n SET flaw = $5
    WHERE n.snapshot = $1 AND n.flaw IS NULL AND EXISTS (
      SELECT 1 FROM state s WHERE s.snapshot = $1 AND s.type = $2 AND s.state_key = $3 AND s.from_revision = $6
        AND s.event <> $4)`,
}
const FLAWS: Statement = {
  name: 'stage-flaws',
  text: `
    INSERT INTO flaws (snapshot, type, state_key, reason)
    SELECT DISTINCT ON (i.type, i.state_key) $1::bigint, i.type, i.state_key, i.reason
    FROM unnest($2::bytea[], $3::bytea[], $4::bytea[]) i(type, state_key, reason)
    ON CONFLICT (snapshot, type, state_key) DO NOTHING`,
}
const EXTREMITIES: Statement = {
  name: 'stage-extremities',
  text: `
    INSERT INTO extremities (room, event_id, snapshot, depth, from_revision, kept)
    SELECT $1, i.event_id, $2, i.depth, 0, false FROM unnest($3::bytea[], $4::bigint[]) i(event_id, depth)
    ON CONFLICT (room, event_id, snapshot) DO NOTHING`,
}

export function createImportStaging(
  database: Database,
): Pick<Handlers<CommonJobs>, 'beginImport' | 'stage' | 'touchImport' | 'abortImport'> {
  return {
    async beginImport({ now, roomId, version, ownServer, discardKnocks }) {
      const values = [bytes(roomId), version, now, bytes(ownServer), discardKnocks]
      const [row] = await database.run<{ snapshot: number }>(BEGIN, values)
      return row?.snapshot ?? 0
    },
    async stage({ now, snapshot, rows }) {
      await database.transaction(async (run) => {
        const room = await roomOf(run, now, snapshot)
        await stageState(run, room, snapshot, rows)
        await stageFlaws(run, snapshot, rows)
        await stageOthers(run, room, snapshot, rows)
      })
      return null
    },
    async touchImport({ now, snapshot }) {
      await roomOf(database.run, now, snapshot)
      return null
    },
    async abortImport({ snapshot }) {
      await database.run(ABORT, [snapshot])
      return null
    },
  }
}

/** The room of a snapshot that is still staging, after noting that its import is alive. */
async function roomOf(run: Run, now: number, snapshot: number): Promise<number> {
  const [row] = await run<{ room: number }>(TOUCH, [now, snapshot])
  if (row !== undefined) return row.room
  throw new DatabaseFailure('refused', 'the import was given up: nothing was heard of it for too long')
}

async function stageState(run: Run, room: number, snapshot: number, all: readonly StageRow[]): Promise<void> {
  const rows = all.filter(({ use }) => use === 'state')
  if (rows.length === 0) return
  // One statement cannot write a row twice; of two copies of an event the later one stands.
  const copies = [...new Map(rows.map((row) => [row.eventId, row])).values()]
  const written = await run<{ event: number; eventId: Buffer }>(STATE_EVENTS, [
    room,
    snapshot,
    copies.map(({ eventId }) => bytes(eventId)),
    copies.map(({ checked }) => (checked ? 1 : 0)),
    copies.map(({ json }) => bytes(json)),
  ])
  const eventOf = new Map(written.map(({ event, eventId }) => [eventId.toString('hex'), event]))
  const events = rows.map(({ eventId }) => eventOf.get(bytes(eventId).toString('hex')) ?? 0)
  const added = await addState(run, snapshot, rows, events)
  const counts = new Map<string, number>()
  for (const [at, { joined }] of rows.entries()) {
    if (joined !== null && added.has(at)) counts.set(joined, (counts.get(joined) ?? 0) + 1)
  }
  await addJoined(run, snapshot, counts)
}

/** @returns the places of the rows that were no state before */
async function addState(
  run: Run,
  snapshot: number,
  rows: readonly StageRow[],
  events: readonly number[],
): Promise<ReadonlySet<number>> {
  const places = await run<{ at: number }>(STATE, [
    snapshot,
    rows.map(({ type }) => bytes(type)),
    rows.map(({ stateKey }) => bytes(stateKey)),
    events,
    rows.map(({ membership }) => (membership === null ? null : bytes(membership))),
    rows.map(({ fromRevision }) => fromRevision),
  ])
  const added = new Set(places.map(({ at }) => at - 1))
  for (const [at, { type, stateKey, fromRevision }] of rows.entries()) {
    if (added.has(at)) continue
    await run(CLASH, [snapshot, bytes(type), bytes(stateKey), events[at] ?? 0, stateClash(type), fromRevision])
  }
  return added
}

async function stageFlaws(run: Run, snapshot: number, all: readonly StageRow[]): Promise<void> {
  const rows = all.filter(({ use }) => use === 'flaw')
  if (rows.length === 0) return
  const columns = [rows.map(({ type }) => type), rows.map(({ stateKey }) => stateKey), rows.map(({ json }) => json)]
  await run(FLAWS, [snapshot, ...columns.map((column) => column.map(bytes))])
}

async function stageOthers(run: Run, room: number, snapshot: number, all: readonly StageRow[]): Promise<void> {
  const rows = all.filter(({ use }) => use === 'auth chain' || use === 'extremity')
  if (rows.length === 0) return
  const ids = rows.map(({ eventId }) => bytes(eventId))
  await run(OTHER_EVENTS, [room, snapshot, ids, rows.map(({ json }) => bytes(json))])
  const extremities = rows.filter(({ use }) => use === 'extremity')
  if (extremities.length === 0) return
  const depths = extremities.map(({ depth }) => depth)
  await run(EXTREMITIES, [room, snapshot, extremities.map(({ eventId }) => bytes(eventId)), depths])
}
