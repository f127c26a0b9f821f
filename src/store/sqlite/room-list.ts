/** The rooms as the room commands list them. */
import type { FlawFilter, RoomFlaw, RoomSummary } from '../../knock/ports/store.ts'
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
  flaws(filter: FlawFilter): readonly RoomFlaw[]
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
  const flaws = createFlawList(db)
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
    flaws,
  }
}

function createFlawList(db: Database): RoomList['flaws'] {
  const columns = 'SELECT r.room_id AS roomId, f.type, f.state_key AS stateKey, f.reason'
  const ofRoom = db.prepare(
    `${columns} FROM rooms r JOIN flaws f ON f.snapshot = r.snapshot WHERE r.room_id = ? LIMIT ?`,
  )
  const ofType = db.prepare(`
    ${columns} FROM flaws f JOIN snapshots n ON n.snapshot = f.snapshot JOIN rooms r ON r.room = n.room
    WHERE f.type = ? AND f.state_key = '' AND r.snapshot = f.snapshot LIMIT ?`)
  return (filter) => {
    const { limit } = filter
    if ('roomId' in filter) return ofRoom.all(filter.roomId, limit) as RoomFlaw[]
    return filter.types.flatMap((type) => ofType.all(type, limit) as RoomFlaw[]).slice(0, limit)
  }
}
