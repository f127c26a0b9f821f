/** What a late signature check does to an event: it stays, or it leaves the room's state, and a flaw in its place. */
import { WRONGLY_SIGNED } from '../flaw-reasons.ts'
import { parsePdu } from '../stored-pdu.ts'
import type { Database } from './database.ts'
import { createJoinedServers } from './joined-servers.ts'
import type { Handlers } from './writer-jobs.ts'

interface EventRow {
  readonly event: number
  readonly snapshot: number
  readonly json: string
}

const UNCHECKED = 0
const GOOD = 1
const WRONG = 2

export function createSettlement(db: Database): Pick<Handlers, 'settle'> {
  const find = db.prepare(`
    SELECT e.event, e.snapshot, e.json
    FROM rooms r JOIN events e ON e.room = r.room JOIN snapshots s ON s.snapshot = e.snapshot
    WHERE r.room_id = ? AND e.event_id = ? AND s.phase IN ('current', 'former') AND e.checked = ${UNCHECKED}`)
  const mark = db.prepare('UPDATE events SET checked = ? WHERE event = ?')
  const remove = db.prepare('DELETE FROM state WHERE snapshot = ? AND type = ? AND state_key = ? AND event = ?')
  const insertFlaw = db.prepare('INSERT OR IGNORE INTO flaws (snapshot, type, state_key, reason) VALUES (?, ?, ?, ?)')
  const raise = db.prepare(`
    UPDATE rooms SET revision = revision + 1, facts_revision = revision + 1,
      resident = EXISTS (SELECT 1 FROM joined_servers j JOIN snapshots s ON s.snapshot = j.snapshot
        WHERE j.snapshot = rooms.snapshot AND j.server = s.own_server)
    WHERE room_id = ? AND snapshot IS NOT NULL`)
  const joined = createJoinedServers(db)

  const leaveOut = ({ event, snapshot, json }: EventRow) => {
    mark.run(WRONG, event)
    const { type, state_key: stateKey, content } = parsePdu(json)
    if (stateKey === undefined) return
    const { changes } = remove.run(snapshot, type, stateKey, event)
    if (Number(changes) === 0) return
    insertFlaw.run(snapshot, type, stateKey, WRONGLY_SIGNED)
    if (type === 'm.room.member' && content.membership === 'join') joined.remove(snapshot, stateKey)
  }

  return {
    settle({ roomId, eventId, verdict }) {
      const rows = find.all(roomId, eventId) as EventRow[]
      if (verdict === 'verified') for (const { event } of rows) mark.run(GOOD, event)
      else rows.forEach(leaveOut)
      if (verdict === 'wrong' && rows.length > 0) raise.run(roomId)
      return null
    },
  }
}
