/** The rooms as the room commands list them. */
import type { RoomAdministration, RoomSummary } from '../../knock/ports/store.ts'
import type { RoomId } from '../../matrix/identifiers.ts'
import { bytes, text } from './bytea.ts'
import type { Database, Statement } from './database.ts'
import type { EventReader } from './event-reader.ts'

interface SummaryRow extends Omit<RoomSummary, 'roomId' | 'name'> {
  readonly roomId: Buffer
  readonly nameEvent: number | null
}

const SUMMARY = `
  SELECT r.room_id AS "roomId", r.version, r.revision, r.facts_revision AS "factsRevision", r.resident,
    n.members, n.servers,
    (SELECT count(*) FROM extremities x WHERE x.snapshot = r.snapshot AND x.to_revision IS NULL) AS extremities,
    (SELECT s.event FROM state s WHERE s.snapshot = r.snapshot AND s.type = 'm.room.name'::bytea AND s.state_key = ''
      ORDER BY s.from_revision DESC LIMIT 1) AS "nameEvent"
  FROM rooms r JOIN snapshots n ON n.snapshot = r.snapshot`
const LIST: Statement = { name: 'rooms', text: `${SUMMARY} WHERE r.room_id > $1 ORDER BY r.room_id LIMIT $2` }
const ONE: Statement = { name: 'room-summary', text: `${SUMMARY} WHERE r.room_id = $1` }

export function createRoomList(
  { run }: Database,
  events: EventReader,
): Pick<RoomAdministration, 'listRooms' | 'roomSummary'> {
  const decode = async (rows: readonly SummaryRow[]): Promise<readonly RoomSummary[]> => {
    const names = await events.load(
      run,
      rows.flatMap(({ nameEvent }) => nameEvent ?? []),
    )
    return rows.map(({ roomId, nameEvent, ...row }) => {
      const name = nameEvent === null ? undefined : names.get(nameEvent)?.pdu.content.name
      return { roomId: text(roomId) as RoomId, ...row, name: typeof name === 'string' ? name : undefined }
    })
  }
  return {
    listRooms: async (after, limit) => decode(await run<SummaryRow>(LIST, [bytes(after ?? ''), limit])),
    roomSummary: async (roomId) => (await decode(await run<SummaryRow>(ONE, [bytes(roomId)])))[0],
  }
}
