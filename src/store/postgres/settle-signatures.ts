/** What a late signature check does to an event: it stays, or it leaves the room's state, and a flaw in its place. */
import type { SignatureAudit } from '../../knock/ports/store.ts'
import { WRONGLY_SIGNED } from '../flaw-reasons.ts'
import { parsePdu } from '../stored-pdu.ts'
import { bytes } from './bytea.ts'
import type { Database, Run, Statement } from './database.ts'
import { removeJoined } from './joined-servers.ts'

interface UncheckedRow {
  readonly event: number
  readonly snapshot: number
  readonly json: Buffer
}

const UNCHECKED = 0
const GOOD = 1
const WRONG = 2

const LOCK: Statement = { name: 'settle-room', text: 'SELECT room FROM rooms WHERE room_id = $1 FOR UPDATE' }
const FIND: Statement = {
  name: 'settle-find',
  text: `
    SELECT e.event, e.snapshot, e.json FROM events e JOIN snapshots n ON n.snapshot = e.snapshot
    WHERE e.room = $1 AND e.event_id = $2 AND n.phase IN ('current', 'former') AND e.checked = ${UNCHECKED}`,
}
const MARK: Statement = { name: 'settle-mark', text: 'UPDATE events SET checked = $1 WHERE event = ANY ($2::bigint[])' }
const REMOVE: Statement = {
  name: 'settle-remove',
  text: 'DELETE FROM state WHERE snapshot = $1 AND type = $2 AND state_key = $3 AND event = $4 RETURNING event',
}
const FLAW: Statement = {
  name: 'settle-flaw',
  text: 'INSERT INTO flaws (snapshot, type, state_key, reason) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
}
const RAISE: Statement = {
  name: 'settle-raise',
  text: `
    UPDATE rooms r SET revision = r.revision + 1, facts_revision = r.revision + 1,
      resident = EXISTS (SELECT 1 FROM joined_servers j JOIN snapshots n ON n.snapshot = j.snapshot
        WHERE j.snapshot = r.snapshot AND j.server = n.own_server)
    WHERE r.room = $1 AND r.snapshot IS NOT NULL`,
}

export function createSettlement(database: Database): SignatureAudit['settle'] {
  return (roomId, eventId, verdict) =>
    database.transaction(async (run) => {
      const [room] = await run<{ room: number }>(LOCK, [bytes(roomId)])
      if (room === undefined) return
      const rows = await run<UncheckedRow>(FIND, [room.room, bytes(eventId)])
      if (rows.length === 0) return
      await run(MARK, [verdict === 'verified' ? GOOD : WRONG, rows.map(({ event }) => event)])
      if (verdict === 'verified') return
      for (const row of rows) await leaveOut(run, row)
      await run(RAISE, [room.room])
    })
}

async function leaveOut(run: Run, { event, snapshot, json }: UncheckedRow): Promise<void> {
  const { type, state_key: stateKey, content } = parsePdu(json)
  if (stateKey === undefined) return
  const removed = await run(REMOVE, [snapshot, bytes(type), bytes(stateKey), event])
  if (removed.length === 0) return
  await run(FLAW, [snapshot, bytes(type), bytes(stateKey), bytes(WRONGLY_SIGNED)])
  if (type === 'm.room.member' && content.membership === 'join') {
    await removeJoined(run, snapshot, [stateKey])
  }
}
