/** What every request begins with: the head of a room, and the member event of the user who asks. */
import type { UserInRoom } from '../../knock/ports/rooms.ts'
import type { RoomId, UserId } from '../../matrix/identifiers.ts'
import type { Database } from './database.ts'
import type { EventReader, StoredEvent } from './event-reader.ts'

interface HeadColumns {
  readonly version: string
  readonly revision: number
  readonly factsRevision: number
  readonly resident: number
}

/** The user's member event, where there is one. */
type MemberColumns = ({ readonly member: null } | ({ readonly member: number } & StoredEvent)) & {
  /** Of a place in the state without an event. */
  readonly flaw: string | null
}

export type HeadReader = (roomId: RoomId, userId: UserId | undefined) => UserInRoom | undefined

/** One statement, so that it sees one instant without a transaction of its own. */
export function createHeadReader(db: Database, events: EventReader): HeadReader {
  const read = db.prepare(`
    SELECT r.version, r.revision, r.facts_revision AS factsRevision, r.resident,
      e.event AS member, e.event_id AS eventId, e.json, (SELECT f.reason FROM flaws f
        WHERE f.snapshot = r.snapshot AND f.type = 'm.room.member' AND f.state_key = ?1) AS flaw
    FROM rooms r LEFT JOIN events e ON e.event = (
      SELECT s.event FROM state s
      WHERE s.snapshot = r.snapshot AND s.type = 'm.room.member' AND s.state_key = ?1
      ORDER BY s.from_revision DESC LIMIT 1)
    WHERE r.room_id = ?2 AND r.snapshot IS NOT NULL`)
  return (roomId, userId) => {
    const row = read.get(userId ?? null, roomId) as (HeadColumns & MemberColumns) | undefined
    if (row === undefined) return undefined
    const { version, revision, factsRevision, resident } = row
    const head = { roomId, version, revision, factsRevision, resident: resident === 1 }
    if (row.member === null) return { head, member: undefined, memberFlaw: row.flaw ?? undefined }
    return { head, member: events(row.member, row), memberFlaw: undefined }
  }
}
