/**
 * All that send_knock reads of a room beside its facts: the state after each known `prev_events` id, as far as a knock
 * asks, and the auth events. https://spec.matrix.org/latest/server-server-api/#checks-performed-on-receipt-of-a-pdu
 */
import type { Branch, Clock, KnockContext, KnockQuestion } from '../../knock/ports/rooms.ts'
import type { EventId, RoomId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import type { Database } from './database.ts'
import type { EventReader } from './event-reader.ts'
import type { HeadReader } from './head-reader.ts'

export type ContextReader = (question: KnockQuestion) => KnockContext | undefined

export interface ReaderOptions {
  readonly clock: Clock
  readonly historyMs: number
}

interface BranchRow {
  readonly snapshot: number
  readonly depth: number
  readonly revision: number
}

interface FlawRow {
  readonly reason: string
}

export function createContextReader(
  db: Database,
  sources: ReaderOptions & { readonly events: EventReader; readonly readRoom: HeadReader },
): ContextReader {
  const readAccepted = db.prepare(`
    SELECT min(e.snapshot) AS snapshot FROM rooms r JOIN events e ON e.room = r.room
    WHERE r.room_id = ? AND e.event_id = ? AND e.snapshot IN (0, r.snapshot) AND e.checked < 2`)
  const readBranches = createBranchReader(db, sources)
  const readAuthEvent = createAuthEventReader(db, sources.events)
  return ({ roomId, sender, eventId, prevEvents, authEvents }) => {
    const room = sources.readRoom(roomId, sender)
    if (room === undefined) return undefined
    const { snapshot } = readAccepted.get(roomId, eventId ?? null) as { snapshot: number | null }
    const branchAt = readBranches(roomId, sender)
    return {
      ...room,
      accepted: snapshot !== null,
      recorded: snapshot === 0,
      branches: collect(prevEvents, branchAt),
      authEvents: collect(authEvents, (id) => readAuthEvent(roomId, id)),
    }
  }
}

function createBranchReader(
  db: Database,
  { events, clock, historyMs }: ReaderOptions & { readonly events: EventReader },
): (roomId: RoomId, sender: string) => (id: EventId) => Branch | undefined {
  // An event that several imports named has the state of the last: branches of one template must not differ by age.
  const readExtremity = db.prepare(`
    SELECT x.snapshot, x.depth, max(x.from_revision, s.from_revision) AS revision
    FROM rooms r JOIN extremities x ON x.room = r.room JOIN snapshots s ON s.snapshot = x.snapshot
    WHERE r.room_id = ?1 AND x.event_id = ?2 AND s.phase IN ('current', 'former')
      AND (x.ended_at IS NULL OR x.ended_at > ?3) AND (s.phase = 'current' OR s.changed_at > ?3)
    ORDER BY s.from_revision DESC LIMIT 1`)
  const readState = db.prepare(`
    SELECT event FROM state WHERE snapshot = ? AND type = ? AND state_key = ? AND from_revision <= ?
    ORDER BY from_revision DESC LIMIT 1`)
  const readFlaw = db.prepare(`
    SELECT reason FROM flaws WHERE snapshot = ? AND type = 'm.room.member' AND state_key = ?`)
  const stateAt = ({ snapshot, revision }: BranchRow, type: string, stateKey: string): RoomEvent | undefined => {
    const row = readState.get(snapshot, type, stateKey, revision) as { event: number } | undefined
    return row && events(row.event)
  }
  return (roomId, sender) => {
    // Branches of one reading of the room have its flaws in common.
    const flaws = new Map<number, string | undefined>()
    const flawIn = (snapshot: number): string | undefined => {
      if (!flaws.has(snapshot)) flaws.set(snapshot, (readFlaw.get(snapshot, sender) as FlawRow | undefined)?.reason)
      return flaws.get(snapshot)
    }
    return (eventId) => {
      const row = readExtremity.get(roomId, eventId, clock() - historyMs) as BranchRow | undefined
      if (row === undefined) return undefined
      const joinRules = stateAt(row, 'm.room.join_rules', '')
      const member = stateAt(row, 'm.room.member', sender)
      const memberFlaw = member === undefined ? flawIn(row.snapshot) : undefined
      return { eventId, depth: row.depth, joinRules, member, memberFlaw }
    }
  }
}

function createAuthEventReader(
  db: Database,
  events: EventReader,
): (roomId: RoomId, id: EventId) => RoomEvent | undefined {
  const read = db.prepare(`
    SELECT e.event FROM rooms r JOIN events e ON e.room = r.room LEFT JOIN snapshots s ON s.snapshot = e.snapshot
    WHERE r.room_id = ? AND e.event_id = ? AND e.checked < 2 AND (e.snapshot = 0 OR s.phase IN ('current', 'former'))
    ORDER BY s.from_revision DESC LIMIT 1`)
  return (roomId, id) => {
    const row = read.get(roomId, id) as { event: number } | undefined
    return row && events(row.event)
  }
}

function collect<Value>(ids: readonly EventId[], read: (id: EventId) => Value | undefined): Map<EventId, Value> {
  const found = new Map<EventId, Value>()
  for (const id of ids) {
    const value = read(id)
    if (value !== undefined) found.set(id, value)
  }
  return found
}
