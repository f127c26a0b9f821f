/** The extremities that a template names. Its cost does not grow with their number. */
import type { Extremity, ExtremitySelection } from '../../knock/ports/rooms.ts'
import type { RoomId } from '../../matrix/identifiers.ts'
import { MOST_EXTREMITIES, selectExtremities } from '../extremity-selection.ts'
import type { Database } from './database.ts'

export function createExtremityReader(db: Database): (roomId: RoomId) => ExtremitySelection | undefined {
  const readRoom = db.prepare('SELECT snapshot, revision FROM rooms WHERE room_id = ? AND snapshot IS NOT NULL')
  // Rows of equal depth or age follow in the order of the index, which ends in the event id.
  const deepest = db.prepare(`
    SELECT event_id AS eventId, depth FROM extremities INDEXED BY extremities_by_depth
    WHERE snapshot = ? AND to_revision IS NULL ORDER BY depth DESC, room DESC, event_id DESC LIMIT ${MOST_EXTREMITIES + 1}`)
  const oldest = db.prepare(`
    SELECT event_id AS eventId, depth FROM extremities INDEXED BY extremities_by_age
    WHERE snapshot = ? AND to_revision IS NULL ORDER BY from_revision, room, event_id LIMIT ${MOST_EXTREMITIES}`)
  return (roomId) => {
    const room = readRoom.get(roomId) as { snapshot: number; revision: number } | undefined
    if (room === undefined) return undefined
    const extremities = selectExtremities(
      deepest.all(room.snapshot) as Extremity[],
      () => oldest.all(room.snapshot) as Extremity[],
    )
    return { revision: room.revision, extremities }
  }
}
