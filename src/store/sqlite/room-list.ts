/** The rooms as the room commands list them. */
import type { RoomSummary } from '../../knock/store-ports.ts'
import type { RoomId } from '../../matrix/identifiers.ts'
import type { Database } from './database.ts'
import type { EventReader } from './event-reader.ts'

interface SummaryRow extends Omit<RoomSummary, 'resident' | 'name'> {
  readonly resident: number
  readonly nameEvent: number | null
}

export interface RoomList {
  list(after: RoomId | undefined, limit: number): readonly RoomSummary[]
  summary(roomId: RoomId): RoomSummary | undefined
}

const SUMMARY = `
  SELECT r.room_id AS roomId, r.version, r.revision, r.facts_revision AS factsRevision, r.resident, s.members, s.servers,
    (SELECT count(*) FROM extremities x WHERE x.snapshot = r.snapshot AND x.to_revision IS NULL) AS extremities,
    (SELECT n.event FROM state n WHERE n.snapshot = r.snapshot AND n.type = 'm.room.name' AND n.state_key = ''
      ORDER BY n.from_revision DESC LIMIT 1) AS nameEvent
  FROM rooms r JOIN snapshots s ON s.snapshot = r.snapshot`

export function createRoomList(db: Database, events: EventReader): RoomList {
  const list = db.prepare(`${SUMMARY} WHERE r.room_id > ? ORDER BY r.room_id LIMIT ?`)
  const one = db.prepare(`${SUMMARY} WHERE r.room_id = ?`)
  const decode = ({ resident, nameEvent, ...row }: SummaryRow): RoomSummary => {
    const name = nameEvent === null ? undefined : events(nameEvent)?.pdu.content.name
    return { ...row, resident: resident === 1, name: typeof name === 'string' ? name : undefined }
  }
  return {
    list: (after, limit) => (list.all(after ?? '', limit) as SummaryRow[]).map(decode),
    summary(roomId) {
      const row = one.get(roomId) as SummaryRow | undefined
      return row && decode(row)
    },
  }
}
