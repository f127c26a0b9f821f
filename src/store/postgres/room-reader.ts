/** Rooms as the use cases read them: point look-ups, one statement each. docs/architecture.md, "What is kept of a room". */
import { FACT_TYPES } from '../../knock/fact-types.ts'
import type { Extremity, RoomEvent, RoomFactsRecord, RoomHead, RoomStore } from '../../knock/ports/rooms.ts'
import type { EventId, RoomId } from '../../matrix/identifiers.ts'
import { MOST_EXTREMITIES, selectExtremities } from '../extremity-selection.ts'
import { bytes, text } from './bytea.ts'
import type { Database, Statement } from './database.ts'
import type { EventReader, EventRow } from './event-reader.ts'

/** A room that is in use, as statements select it. */
export interface HeadRow {
  readonly version: string
  readonly revision: number
  readonly factsRevision: number
  readonly resident: boolean
}

export function headOf(roomId: RoomId, { version, revision, factsRevision, resident }: HeadRow): RoomHead {
  return { roomId, version, revision, factsRevision, resident }
}

const HEAD: Statement = {
  name: 'room',
  text: `
    SELECT r.version, r.revision, r.facts_revision AS "factsRevision", r.resident, e.event, e.event_id AS "eventId", e.json,
      (SELECT f.reason FROM flaws f
        WHERE f.snapshot = r.snapshot AND f.type = 'm.room.member'::bytea AND f.state_key = $2) AS flaw
    FROM rooms r LEFT JOIN events e ON e.event = (
      SELECT s.event FROM state s
      WHERE s.snapshot = r.snapshot AND s.type = 'm.room.member'::bytea AND s.state_key = $2
      ORDER BY s.from_revision DESC LIMIT 1)
    WHERE r.room_id = $1 AND r.snapshot IS NOT NULL`,
}

const FACTS: Statement = {
  name: 'facts',
  text: `
    SELECT r.facts_revision AS "factsRevision", e.event, e.event_id AS "eventId", e.json,
      ARRAY (SELECT w.type FROM flaws w WHERE w.snapshot = r.snapshot AND w.state_key = '' ORDER BY w.type) AS flawed,
      ARRAY (SELECT w.reason FROM flaws w WHERE w.snapshot = r.snapshot AND w.state_key = '' ORDER BY w.type) AS reasons
    FROM rooms r LEFT JOIN unnest($2::bytea[]) WITH ORDINALITY f(type, at) ON true
      LEFT JOIN state s ON s.snapshot = r.snapshot AND s.type = f.type AND s.state_key = '' AND s.to_revision IS NULL
      LEFT JOIN events e ON e.event = s.event
    WHERE r.room_id = $1 AND r.snapshot IS NOT NULL
    ORDER BY f.at, s.from_revision DESC`,
}
const FACT_KEYS = FACT_TYPES.map(bytes)

const EXTREMITIES: Statement = {
  name: 'extremities',
  text: `
    SELECT r.revision, x.age, x.event_id AS "eventId", x.depth
    FROM rooms r LEFT JOIN LATERAL (
      (SELECT false AS age, d.event_id, d.depth FROM extremities d
        WHERE d.snapshot = r.snapshot AND d.to_revision IS NULL
        ORDER BY d.depth DESC, d.event_id DESC LIMIT ${MOST_EXTREMITIES + 1})
      UNION ALL
      (SELECT true AS age, o.event_id, o.depth FROM extremities o
        WHERE o.snapshot = r.snapshot AND o.to_revision IS NULL
        ORDER BY o.from_revision, o.event_id LIMIT ${MOST_EXTREMITIES})) x ON true
    WHERE r.room_id = $1 AND r.snapshot IS NOT NULL`,
}

const JOINED: Statement = {
  name: 'joined',
  text: `
    SELECT 1 AS joined FROM rooms r JOIN joined_servers j ON j.snapshot = r.snapshot
    WHERE r.room_id = $1 AND j.server = $2`,
}

type Nullable<Row> = { readonly [K in keyof Row]: Row[K] | null }

interface FactRow extends Pick<HeadRow, 'factsRevision'> {
  /** Types whose events cannot be used, and why. */
  readonly flawed: readonly Buffer[]
  readonly reasons: readonly Buffer[]
}

/** The reason of a place in the state without an event. */
interface FlawColumn {
  readonly flaw: Buffer | null
}

interface ExtremityRow {
  readonly revision: number
  readonly age: boolean | null
  readonly eventId: Buffer
  readonly depth: number
}

export function createRoomReader(
  { run }: Database,
  events: EventReader,
): Pick<RoomStore, 'readRoom' | 'readFacts' | 'readExtremities' | 'hasJoinedMember'> {
  return {
    async readRoom(roomId, userId) {
      const [row] = await run<HeadRow & FlawColumn & Nullable<EventRow>>(HEAD, [
        bytes(roomId),
        userId === undefined ? null : bytes(userId),
      ])
      if (row === undefined) return undefined
      const head = headOf(roomId, row)
      if (isThere(row)) return { head, member: events.decode(row), memberFlaw: undefined }
      return { head, member: undefined, memberFlaw: row.flaw === null ? undefined : text(row.flaw) }
    },
    async readFacts(roomId) {
      const rows = await run<FactRow & Nullable<EventRow>>(FACTS, [bytes(roomId), FACT_KEYS])
      const [first] = rows
      return first && factsOf(first, rows.filter(isThere).map(events.decode))
    },
    async readExtremities(roomId) {
      const rows = await run<ExtremityRow>(EXTREMITIES, [bytes(roomId)])
      const [first] = rows
      if (first === undefined) return undefined
      const oldest = extremitiesOf(rows.filter(({ age }) => age === true))
      const deepest = extremitiesOf(rows.filter(({ age }) => age === false))
      return { revision: first.revision, extremities: selectExtremities(deepest, () => oldest) }
    },
    async hasJoinedMember(roomId, server) {
      return (await run(JOINED, [bytes(roomId), bytes(server)])).length > 0
    },
  }
}

function factsOf({ factsRevision, flawed, reasons }: FactRow, state: readonly RoomEvent[]): RoomFactsRecord {
  const flaws = flawed.map((type, at) => ({ type: text(type), reason: text(reasons[at] ?? bytes('')) }))
  return { factsRevision, state, flaws }
}

function isThere<Row extends Nullable<EventRow>>(row: Row): row is Row & EventRow {
  return row.event !== null
}

function extremitiesOf(rows: readonly ExtremityRow[]): readonly Extremity[] {
  return rows.map(({ eventId, depth }) => ({ eventId: text(eventId) as EventId, depth }))
}
