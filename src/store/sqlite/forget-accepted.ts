/** Forgets accepted events that are recorded for long and on which nothing in the store rests any more. docs/storage.md */
import { parsePdu } from '../stored-pdu.ts'
import type { Database } from './database.ts'

/** Events that one pass looks at. */
const LOOKED_AT = 100

interface AcceptedRow {
  readonly event: number
  readonly room: number
  readonly eventId: string
  readonly recordedAt: number
  readonly json: string
}

/**
 * Each call goes on where the last one ended. An event that is somebody's membership can be as old as the store.
 * @returns a function that removes events recorded before an instant; how many, or the budget where more may be due
 */
export function prepareAcceptedForgetting(db: Database): (before: number, budget: number) => number {
  const next = db.prepare(`
    SELECT event, room, event_id AS eventId, recorded_at AS recordedAt, json FROM events
    WHERE snapshot = 0 AND event > ? ORDER BY event LIMIT ?`)
  // Every event that waits for a server is this one or came after it, or is in the outbox.
  const firstWaiting = db.prepare(`
    SELECT min((SELECT v.event FROM deliveries v WHERE v.destination = d.destination ORDER BY v.event LIMIT 1)) AS event
    FROM destinations d`)
  const remove = db.prepare(`
    DELETE FROM events WHERE event = ?1
      AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.event = ?1)
      AND NOT EXISTS (SELECT 1 FROM extremities x WHERE x.room = ?2 AND x.event_id = ?3)
      AND NOT EXISTS (SELECT 1 FROM snapshots n JOIN knocks k ON k.snapshot = n.snapshot AND k.event = ?1
        WHERE n.room = ?2)
      AND NOT EXISTS (SELECT 1 FROM snapshots n JOIN state s ON s.snapshot = n.snapshot AND s.type = 'm.room.member'
        AND s.state_key = ?4 AND s.event = ?1 WHERE n.room = ?2)`)
  let last = 0

  const removeUnused = (rows: readonly AcceptedRow[]): number => {
    const waiting = (firstWaiting.get() as { event: number | null }).event ?? Number.MAX_SAFE_INTEGER
    let removed = 0
    for (const { event, room, eventId, json } of rows) {
      if (event < waiting) removed += Number(remove.run(event, room, eventId, parsePdu(json).sender).changes)
    }
    return removed
  }

  return (before, budget) => {
    const most = Math.min(LOOKED_AT, budget)
    const rows = next.all(last, most) as AcceptedRow[]
    const old = rows.filter(({ recordedAt }) => recordedAt <= before)
    const removed = old.length === 0 ? 0 : removeUnused(old)
    const end = rows[most - 1]
    // Where the newest of them is too young there are none behind it.
    const goesOn = end !== undefined && end.recordedAt <= before
    last = goesOn ? end.event : 0
    return goesOn && removed > 0 ? budget : removed
  }
}
