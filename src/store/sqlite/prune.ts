/** Removes what is no longer kept, a bounded number of rows at a time. docs/architecture.md, "What is kept of a room". */
import { ATTEMPT_MS } from '../retention.ts'
import type { Database, Statement } from './database.ts'
import { prepareAcceptedForgetting } from './forget-accepted.ts'
import type { Handlers } from './writer-jobs.ts'

/** Rows that one pass may remove. */
const PASS_ROWS = 500
/** Servers whose keys are kept; the ones fetched last win. */
const MAX_KEY_SERVERS = 100_000

export function createPruning(db: Database): Pick<Handlers, 'prune'> {
  const outdate = db.prepare(`
    UPDATE snapshots SET phase = 'dropping'
    WHERE (phase = 'staging' AND changed_at < ?) OR (phase = 'former' AND changed_at <= ?)`)
  const dropSnapshot = prepareSnapshotDrop(db)
  const endedState = db.prepare(`
    DELETE FROM state WHERE (snapshot, type, state_key, from_revision) IN (
      SELECT snapshot, type, state_key, from_revision FROM state WHERE ended_at <= ? LIMIT ?)`)
  const endedExtremities = db.prepare(`
    DELETE FROM extremities WHERE (room, event_id, snapshot) IN (
      SELECT room, event_id, snapshot FROM extremities WHERE ended_at <= ? LIMIT ?)`)
  const oldRefusals = prepareRefusalLimit(db)
  const oldDecisions = db.prepare(`
    DELETE FROM decisions WHERE seq IN (SELECT seq FROM decisions WHERE recorded_at <= ? LIMIT ?)`)
  const oldAttempts = db.prepare(`
    DELETE FROM knock_attempts WHERE event_id IN (SELECT event_id FROM knock_attempts WHERE begun_at <= ? LIMIT ?)`)
  const forgetAccepted = prepareAcceptedForgetting(db)
  const oldKeys = db.prepare(`
    DELETE FROM server_keys WHERE server IN (SELECT server FROM server_keys WHERE fetched_at <= ? LIMIT ?)`)
  const surplusKeys = db.prepare(`
    DELETE FROM server_keys WHERE server IN (SELECT server FROM server_keys ORDER BY fetched_at LIMIT
      min(?, max(0, (SELECT count(*) FROM server_keys) - ${MAX_KEY_SERVERS})))`)

  return {
    prune({ now, historyMs, decisionMs, keyMs, abandonedMs, maxRefusals, refusalBytes }) {
      const ended = now - historyMs
      outdate.run(now - abandonedMs, ended)
      let budget = PASS_ROWS
      const spend = (statement: Statement, ...parameters: number[]) => {
        if (budget > 0) budget -= Number(statement.run(...parameters, budget).changes)
      }
      spend(endedState, ended)
      spend(endedExtremities, ended)
      spend(oldAttempts, now - ATTEMPT_MS)
      spend(oldDecisions, now - decisionMs)
      if (budget > 0) budget -= oldRefusals(maxRefusals, refusalBytes, budget)
      spend(oldKeys, now - keyMs)
      spend(surplusKeys)
      if (budget > 0) budget -= forgetAccepted(now - decisionMs, budget)
      if (budget > 0) budget -= dropSnapshot(budget)
      return budget <= 0
    },
  }
}

/** Removes rows of snapshots that are out of use; how many. */
function prepareSnapshotDrop(db: Database): (budget: number) => number {
  const next = db.prepare(`SELECT snapshot, room FROM snapshots WHERE phase = 'dropping' LIMIT 1`)
  const tables = [
    `DELETE FROM state WHERE (snapshot, type, state_key, from_revision) IN (
      SELECT snapshot, type, state_key, from_revision FROM state WHERE snapshot = ? LIMIT ?)`,
    'DELETE FROM events WHERE event IN (SELECT event FROM events WHERE snapshot = ? AND snapshot > 0 LIMIT ?)',
    `DELETE FROM joined_servers WHERE (snapshot, server) IN (
      SELECT snapshot, server FROM joined_servers WHERE snapshot = ? LIMIT ?)`,
    `DELETE FROM flaws WHERE (snapshot, type, state_key) IN (
      SELECT snapshot, type, state_key FROM flaws WHERE snapshot = ? LIMIT ?)`,
    'DELETE FROM knocks WHERE (snapshot, event) IN (SELECT snapshot, event FROM knocks WHERE snapshot = ? LIMIT ?)',
    // Those that ended are removed by their age, which is never less than the snapshot's.
    `DELETE FROM extremities WHERE (room, event_id, snapshot) IN (
      SELECT room, event_id, snapshot FROM extremities WHERE snapshot = ? AND to_revision IS NULL LIMIT ?)`,
  ].map((sql) => db.prepare(sql))
  const remove = db.prepare('DELETE FROM snapshots WHERE snapshot = ?')
  const removeRoom = db.prepare(`
    DELETE FROM rooms WHERE room = ?1 AND snapshot IS NULL AND NOT EXISTS (SELECT 1 FROM snapshots WHERE room = ?1)`)

  return (budget) => {
    const dropped = next.get() as { snapshot: number; room: number } | undefined
    if (dropped === undefined) return 0
    let removed = 0
    for (const table of tables) {
      if (removed < budget) removed += Number(table.run(dropped.snapshot, budget - removed).changes)
    }
    if (removed >= budget) return removed
    remove.run(dropped.snapshot)
    removeRoom.run(dropped.room)
    // Another one may be waiting: the pass is not the last.
    return budget
  }
}

/** Keeps the newest refusals; how many were removed. */
function prepareRefusalLimit(db: Database): (most: number, mostBytes: number, budget: number) => number {
  const held = db.prepare(`SELECT row_count AS rows, bytes FROM holdings WHERE name = 'refusals'`)
  const remove = db.prepare(`
    DELETE FROM decisions WHERE seq IN (SELECT seq FROM decisions WHERE refused = 1 ORDER BY seq LIMIT ?)`)
  return (most, mostBytes, budget) => {
    for (let removed = 0; ; ) {
      const { rows, bytes } = held.get() as { rows: number; bytes: number }
      const surplus = Math.max(rows - most, bytes > mostBytes ? 1 : 0)
      if (surplus <= 0 || removed >= budget) return removed
      removed += Number(remove.run(Math.min(surplus, budget - removed)).changes)
    }
  }
}
