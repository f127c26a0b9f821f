/**
 * An import while it is staged: rows of a snapshot that no reader sees. Every chunk is a short transaction, so the
 * service's own writer is never held up for long. docs/architecture.md, "What is kept of a room".
 */

import type { BeginImport, StageRow } from '../jobs.ts'
import { stateClash } from '../state-clash.ts'
import type { Database } from './database.ts'
import { createJoinedServers } from './joined-servers.ts'
import type { Handlers } from './writer-jobs.ts'

export function createImportStaging(
  db: Database,
): Pick<Handlers, 'beginImport' | 'stage' | 'touchImport' | 'abortImport'> {
  const touch = db.prepare(
    `UPDATE snapshots SET changed_at = ? WHERE snapshot = ? AND phase = 'staging' RETURNING room`,
  )
  const abort = db.prepare(`UPDATE snapshots SET phase = 'dropping' WHERE snapshot = ? AND phase = 'staging'`)
  const begin = prepareBegin(db)
  const stageRow = prepareStaging(db)
  const joined = createJoinedServers(db)

  /** The room of a snapshot that is still staging, after noting that its import is alive. */
  const roomOf = (now: number, snapshot: number): number => {
    const row = touch.get(now, snapshot) as { room: number } | undefined
    if (row === undefined) throw new Error('the import was given up: nothing was heard of it for too long')
    return row.room
  }

  return {
    beginImport: begin,
    stage({ now, snapshot, rows }) {
      const room = roomOf(now, snapshot)
      const counts = new Map<string, number>()
      for (const row of rows) {
        if (stageRow(room, snapshot, row) && row.joined !== null) {
          counts.set(row.joined, (counts.get(row.joined) ?? 0) + 1)
        }
      }
      if (counts.size > 0) joined.add(snapshot, counts)
      return null
    },
    touchImport({ now, snapshot }) {
      roomOf(now, snapshot)
      return null
    },
    abortImport({ snapshot }) {
      abort.run(snapshot)
      return null
    },
  }
}

function prepareBegin(db: Database): (input: BeginImport) => number {
  const insertRoom = db.prepare(`
    INSERT INTO rooms (room_id, version, revision, facts_revision, resident) VALUES (?, ?, 0, 0, 0)
    ON CONFLICT (room_id) DO NOTHING`)
  const insertSnapshot = db.prepare(`
    INSERT INTO snapshots (room, phase, changed_at, version, own_server, discard_knocks)
    SELECT room, 'staging', ?, ?, ?, ? FROM rooms WHERE room_id = ?`)
  return ({ now, roomId, version, ownServer, discardKnocks }) => {
    insertRoom.run(roomId, version)
    return Number(insertSnapshot.run(now, version, ownServer, discardKnocks ? 1 : 0, roomId).lastInsertRowid)
  }
}

/** Writes one row; false where it is no state or was there before. */
function prepareStaging(db: Database): (room: number, snapshot: number, row: StageRow) => boolean {
  // The copy that is state wins over one in the auth chain: of the two, only it may have been redacted.
  const insertState = db.prepare(`
    INSERT INTO events (room, snapshot, event_id, checked, json) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (room, event_id, snapshot) DO UPDATE SET checked = excluded.checked, json = excluded.json
    RETURNING event`)
  const insertOther = db.prepare(`
    INSERT INTO events (room, snapshot, event_id, checked, json) VALUES (?, ?, ?, 1, ?)
    ON CONFLICT (room, event_id, snapshot) DO NOTHING`)
  const insertKey = db.prepare(`
    INSERT INTO state (snapshot, type, state_key, from_revision, event, membership) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (snapshot, type, state_key, from_revision) DO NOTHING`)
  const readKey = db.prepare(
    'SELECT event FROM state WHERE snapshot = ? AND type = ? AND state_key = ? AND from_revision = ?',
  )
  const insertFlaw = db.prepare(`
    INSERT INTO flaws (snapshot, type, state_key, reason) VALUES (?, ?, ?, ?)
    ON CONFLICT (snapshot, type, state_key) DO NOTHING`)
  const insertExtremity = db.prepare(`
    INSERT INTO extremities (room, event_id, snapshot, depth, from_revision, kept) VALUES (?, ?, ?, ?, 0, 0)
    ON CONFLICT (room, event_id, snapshot) DO NOTHING`)
  const setFlaw = db.prepare('UPDATE snapshots SET flaw = ? WHERE snapshot = ? AND flaw IS NULL')

  const stageState = (room: number, snapshot: number, row: StageRow): boolean => {
    const { event } = insertState.get(room, snapshot, row.eventId, row.checked ? 1 : 0, row.json) as { event: number }
    const slot = [snapshot, row.type, row.stateKey, row.fromRevision] as const
    if (Number(insertKey.run(...slot, event, row.membership).changes) > 0) return true
    const present = readKey.get(...slot) as { event: number }
    if (present.event !== event) setFlaw.run(stateClash(row.type), snapshot)
    return false
  }

  return (room, snapshot, row) => {
    if (row.use === 'state') return stageState(room, snapshot, row)
    if (row.use === 'flaw') {
      insertFlaw.run(snapshot, row.type, row.stateKey, row.json)
      return false
    }
    insertOther.run(room, snapshot, row.eventId, row.json)
    if (row.use === 'extremity') insertExtremity.run(room, row.eventId, snapshot, row.depth)
    return false
  }
}
