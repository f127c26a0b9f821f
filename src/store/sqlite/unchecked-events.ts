/** Events in use whose signatures could not be checked when they were imported. */
import type { RoomId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import type { Database } from './database.ts'
import type { EventReader } from './event-reader.ts'

interface UncheckedRow {
  readonly event: number
  readonly roomId: RoomId
}

export interface UncheckedEvent {
  readonly roomId: RoomId
  readonly event: RoomEvent
}

/**
 * Each call goes on where the last one ended and starts over at the end, so that events whose keys stay away never keep
 * the others from being asked for.
 */
export function createUncheckedReader(db: Database, events: EventReader): (limit: number) => readonly UncheckedEvent[] {
  const read = db.prepare(`
    SELECT e.event, r.room_id AS roomId FROM events e JOIN rooms r ON r.room = e.room AND r.snapshot = e.snapshot
    WHERE e.checked = 0 AND e.event > ? AND e.event <= ? ORDER BY e.event LIMIT ?`)
  let last = 0
  return (limit) => {
    const rows = read.all(last, Number.MAX_SAFE_INTEGER, limit) as UncheckedRow[]
    if (rows.length < limit) rows.push(...(read.all(0, last, limit - rows.length) as UncheckedRow[]))
    last = rows.at(-1)?.event ?? 0
    return rows.flatMap(({ event: row, roomId }) => {
      const event = events(row)
      return event === undefined ? [] : [{ roomId, event }]
    })
  }
}
