/** Events in use whose signatures could not be checked when they were imported. */
import type { SignatureAudit } from '../../knock/ports/store.ts'
import type { RoomId } from '../../matrix/identifiers.ts'
import { text } from './bytea.ts'
import type { Database, Statement } from './database.ts'
import type { EventReader, EventRow } from './event-reader.ts'

interface UncheckedRow extends EventRow {
  readonly roomId: Buffer
}

const READ: Statement = {
  name: 'unchecked',
  text: `
    SELECT e.event, e.event_id AS "eventId", e.json, r.room_id AS "roomId"
    FROM events e JOIN rooms r ON r.room = e.room AND r.snapshot = e.snapshot
    WHERE e.checked = 0 AND e.event > $1 AND e.event <= $2 ORDER BY e.event LIMIT $3`,
}

/**
 * Each call goes on where the last one ended and starts over at the end, so that events whose keys stay away never keep
 * the others from being asked for.
 */
export function createUncheckedReader({ run }: Database, events: EventReader): SignatureAudit['unverifiedEvents'] {
  let last = 0
  return async (limit) => {
    const rows = [...(await run<UncheckedRow>(READ, [last, Number.MAX_SAFE_INTEGER, limit]))]
    if (rows.length < limit) rows.push(...(await run<UncheckedRow>(READ, [0, last, limit - rows.length])))
    last = rows.at(-1)?.event ?? 0
    return rows.map((row) => ({ roomId: text(row.roomId) as RoomId, event: events.decode(row) }))
  }
}
