/** Forgets accepted events that are recorded for long and on which nothing in the store rests any more. docs/storage.md */
import { parsePdu } from '../stored-pdu.ts'
import { bytes } from './bytea.ts'
import type { Run, Statement } from './database.ts'

/** Events that one pass looks at. */
const LOOKED_AT = 100

const NEXT: Statement = {
  name: 'forget-next',
  text: `
    SELECT event, recorded_at AS "recordedAt", json FROM events
    WHERE snapshot = 0 AND event > $1 ORDER BY event LIMIT $2`,
}
/** Every event that waits for a server is the first that does or came after it, or is in the outbox. */
const REMOVE: Statement = {
  name: 'forget-remove',
  text: `
    WITH waiting AS (
      SELECT coalesce(min(w.event), 9223372036854775807) AS first FROM destinations d CROSS JOIN LATERAL (
        SELECT v.event FROM deliveries v WHERE v.destination = d.destination ORDER BY v.event LIMIT 1) w)
    DELETE FROM events e USING unnest($1::bigint[], $2::bytea[]) c(event, sender)
    WHERE e.event = c.event AND e.event < (SELECT waiting.first FROM waiting)
      AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.event = e.event)
      AND NOT EXISTS (SELECT 1 FROM extremities x WHERE x.room = e.room AND x.event_id = e.event_id)
      AND NOT EXISTS (SELECT 1 FROM snapshots n JOIN knocks k ON k.snapshot = n.snapshot AND k.event = e.event
        WHERE n.room = e.room)
      AND NOT EXISTS (SELECT 1 FROM snapshots n JOIN state s ON s.snapshot = n.snapshot
        AND s.type = 'm.room.member'::bytea AND s.state_key = c.sender AND s.event = e.event WHERE n.room = e.room)
    RETURNING 1 AS removed`,
}

interface AcceptedRow {
  readonly event: number
  readonly recordedAt: number
  readonly json: Buffer
}

/**
 * Each call goes on where the last one ended. An event that is somebody's membership can be as old as the store.
 * @returns a function that removes events recorded before an instant; how many, or the budget where more may be due
 */
export function createAcceptedForgetting(): (run: Run, before: number, budget: number) => Promise<number> {
  let last = 0
  return async (run, before, budget) => {
    const most = Math.min(LOOKED_AT, budget)
    const rows = await run<AcceptedRow>(NEXT, [last, most])
    const old = rows.filter(({ recordedAt }) => recordedAt <= before)
    const senders = old.map(({ json }) => bytes(parsePdu(json).sender))
    const removed = old.length === 0 ? 0 : (await run(REMOVE, [old.map(({ event }) => event), senders])).length
    const end = rows[most - 1]
    // Where the newest of them is too young there are none behind it.
    const goesOn = end !== undefined && end.recordedAt <= before
    last = goesOn ? end.event : 0
    return goesOn && removed > 0 ? budget : removed
  }
}
