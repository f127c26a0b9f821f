/**
 * Rooms as the use cases read them: point look-ups on a connection that cannot write.
 * docs/architecture.md, "What is kept of a room".
 */
import { FACT_TYPES } from '../../knock/fact-types.ts'
import type { ExtremitySelection, FactFlaw, RoomFactsRecord, UserInRoom } from '../../knock/ports/rooms.ts'
import type { RoomId, ServerName, UserId } from '../../matrix/identifiers.ts'
import { type ContextReader, createContextReader, type ReaderOptions } from './context-reader.ts'
import type { Database } from './database.ts'
import type { EventReader } from './event-reader.ts'
import { createExtremityReader } from './extremity-reader.ts'
import { createHeadReader } from './head-reader.ts'

export interface RoomReader {
  room(roomId: RoomId, userId: UserId | undefined): UserInRoom | undefined
  facts(roomId: RoomId): RoomFactsRecord | undefined
  extremities(roomId: RoomId): ExtremitySelection | undefined
  hasJoinedMember(roomId: RoomId, server: ServerName): boolean
  readonly context: ContextReader
}

export function createRoomReader(db: Database, events: EventReader, options: ReaderOptions): RoomReader {
  const together = createReadTransaction(db)
  const readRoom = createHeadReader(db, events)
  const readUse = db.prepare(
    'SELECT snapshot, facts_revision AS factsRevision FROM rooms WHERE room_id = ? AND snapshot IS NOT NULL',
  )
  const readFact = db.prepare(`
    SELECT event FROM state WHERE snapshot = ? AND type = ? AND state_key = '' AND to_revision IS NULL
    ORDER BY from_revision DESC`)
  const readFlaws = db.prepare(`SELECT type, reason FROM flaws WHERE snapshot = ? AND state_key = ''`)
  const readServer = db.prepare(`
    SELECT 1 FROM rooms r JOIN joined_servers j ON j.snapshot = r.snapshot WHERE r.room_id = ? AND j.server = ?`)
  const extremities = createExtremityReader(db)
  const context = createContextReader(db, { events, readRoom, ...options })

  return {
    room: readRoom,
    facts: (roomId) =>
      together(() => {
        const use = readUse.get(roomId) as { snapshot: number; factsRevision: number } | undefined
        if (use === undefined) return undefined
        const state = FACT_TYPES.flatMap((type) => {
          const rows = readFact.all(use.snapshot, type) as { event: number }[]
          return rows.flatMap(({ event }) => events(event) ?? [])
        })
        return { factsRevision: use.factsRevision, state, flaws: readFlaws.all(use.snapshot) as FactFlaw[] }
      }),
    extremities: (roomId) => together(() => extremities(roomId)),
    hasJoinedMember: (roomId, server) => readServer.get(roomId, server) !== undefined,
    context: (question) => together(() => context(question)),
  }
}

/** Several look-ups that see the database at one instant. */
function createReadTransaction(db: Database): <T>(read: () => T) => T {
  const begin = db.prepare('BEGIN')
  const end = db.prepare('COMMIT')
  return (read) => {
    begin.run()
    try {
      return read()
    } finally {
      end.run()
    }
  }
}
