/**
 * All that send_knock reads of a room beside its facts: the state after each known `prev_events` id, as far as a knock
 * asks, and the auth events. https://spec.matrix.org/latest/server-server-api/#checks-performed-on-receipt-of-a-pdu
 */
import type { Branch, Clock, KnockContext, KnockQuestion } from '../../knock/ports/rooms.ts'
import type { EventId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import { bytes } from './bytea.ts'
import type { Database, Statement } from './database.ts'
import type { EventReader } from './event-reader.ts'
import { type HeadRow, headOf } from './room-reader.ts'

/** How many times all is read again where an event was removed between finding and reading it. */
const TRIES = 3

/** The state of one branch; where several imports named the event, that of the last: branches must not differ by age. */
const STATE_AT = (type: string, stateKey: string) => `
  (SELECT s.event FROM state s
    WHERE s.snapshot = b.snapshot AND s.type = ${type} AND s.state_key = ${stateKey} AND s.from_revision <= b.revision
    ORDER BY s.from_revision DESC LIMIT 1)`

/** Why the member event of a user in a place of the state cannot be used, in base 64: JSON holds no bytes. */
const FLAW_IN = (snapshot: string) => `
  (SELECT encode(f.reason, 'base64') FROM flaws f
    WHERE f.snapshot = ${snapshot} AND f.type = 'm.room.member'::bytea AND f.state_key = $2)`

/** Places count from 1, in the order of the ids that were asked for. */
const CONTEXT: Statement = {
  name: 'context',
  text: `
    SELECT r.version, r.revision, r.facts_revision AS "factsRevision", r.resident,
      (SELECT s.event FROM state s
        WHERE s.snapshot = r.snapshot AND s.type = 'm.room.member'::bytea AND s.state_key = $2
        ORDER BY s.from_revision DESC LIMIT 1) AS member, ${FLAW_IN('r.snapshot')} AS "memberFlaw",
      EXISTS (SELECT 1 FROM events e WHERE e.room = r.room AND e.event_id = $3 AND e.snapshot = 0) AS recorded,
      EXISTS (SELECT 1 FROM events e
        WHERE e.room = r.room AND e.event_id = $3 AND e.snapshot = r.snapshot AND e.checked < 2) AS held,
      (SELECT json_agg(json_build_array(p.at, b.depth,
          ${STATE_AT(`'m.room.join_rules'::bytea`, `''`)}, ${STATE_AT(`'m.room.member'::bytea`, '$2')},
          ${FLAW_IN('b.snapshot')}))
        FROM unnest($4::bytea[]) WITH ORDINALITY p(id, at) CROSS JOIN LATERAL (
          SELECT x.snapshot, x.depth, greatest(x.from_revision, n.from_revision) AS revision
          FROM extremities x JOIN snapshots n ON n.snapshot = x.snapshot
          WHERE x.room = r.room AND x.event_id = p.id AND n.phase IN ('current', 'former')
            AND (x.ended_at IS NULL OR x.ended_at > $6) AND (n.phase = 'current' OR n.changed_at > $6)
          ORDER BY n.from_revision DESC LIMIT 1) b) AS branches,
      (SELECT json_agg(json_build_array(a.at, f.event))
        FROM unnest($5::bytea[]) WITH ORDINALITY a(id, at) CROSS JOIN LATERAL (
          SELECT e.event FROM events e LEFT JOIN snapshots n ON n.snapshot = e.snapshot
          WHERE e.room = r.room AND e.event_id = a.id AND e.checked < 2
            AND (e.snapshot = 0 OR n.phase IN ('current', 'former'))
          ORDER BY n.from_revision DESC NULLS LAST LIMIT 1) f) AS "authEvents"
    FROM rooms r WHERE r.room_id = $1 AND r.snapshot IS NOT NULL`,
}

type BranchRow = readonly [
  at: number,
  depth: number,
  joinRules: number | null,
  member: number | null,
  memberFlaw: string | null,
]

interface ContextRow extends HeadRow {
  readonly member: number | null
  readonly memberFlaw: string | null
  readonly recorded: boolean
  readonly held: boolean
  readonly branches: readonly BranchRow[] | null
  readonly authEvents: readonly (readonly [at: number, event: number])[] | null
}

export interface HistoryLimits {
  readonly clock: Clock
  readonly historyMs: number
}

export function createContextReader(
  { run }: Database,
  events: EventReader,
  { clock, historyMs }: HistoryLimits,
): (question: KnockQuestion) => Promise<KnockContext | undefined> {
  return async (question) => {
    const { roomId, sender, eventId, prevEvents, authEvents } = question
    for (let tries = TRIES; ; tries--) {
      const [row] = await run<ContextRow>(CONTEXT, [
        bytes(roomId),
        bytes(sender),
        eventId === undefined ? null : bytes(eventId),
        prevEvents.map(bytes),
        authEvents.map(bytes),
        Math.floor(clock() - historyMs),
      ])
      if (row === undefined) return undefined
      const wanted = eventsNamed(row)
      const found = await events.load(run, wanted)
      if (found.size === wanted.length || tries <= 1) return contextOf(question, row, found)
    }
  }
}

/** Every row of `events` that the answer names, once. */
function eventsNamed({ member, branches, authEvents }: ContextRow): readonly number[] {
  const named = new Set<number | null>([member])
  for (const [, , joinRules, memberThere] of branches ?? []) named.add(joinRules).add(memberThere)
  for (const [, event] of authEvents ?? []) named.add(event)
  return [...named].filter((event) => event !== null)
}

function contextOf(
  { roomId, prevEvents, authEvents }: KnockQuestion,
  row: ContextRow,
  events: ReadonlyMap<number, RoomEvent>,
): KnockContext {
  const read = (event: number | null) => (event === null ? undefined : events.get(event))
  const branches = new Map<EventId, Branch>()
  const membership = (member: number | null, flaw: string | null) => ({
    member: read(member),
    memberFlaw: member !== null || flaw === null ? undefined : Buffer.from(flaw, 'base64').toString(),
  })
  for (const [at, depth, joinRules, member, flaw] of inOrder(row.branches)) {
    const eventId = prevEvents[at - 1]
    if (eventId !== undefined) {
      branches.set(eventId, { eventId, depth, joinRules: read(joinRules), ...membership(member, flaw) })
    }
  }
  const named = new Map<EventId, RoomEvent>()
  for (const [at, found] of inOrder(row.authEvents)) {
    const eventId = authEvents[at - 1]
    const event = read(found)
    if (eventId !== undefined && event !== undefined) named.set(eventId, event)
  }
  return {
    head: headOf(roomId, row),
    ...membership(row.member, row.memberFlaw),
    accepted: row.recorded || row.held,
    recorded: row.recorded,
    branches,
    authEvents: named,
  }
}

function inOrder<Row extends readonly [at: number, ...unknown[]]>(rows: readonly Row[] | null): readonly Row[] {
  return [...(rows ?? [])].sort(([left], [right]) => left - right)
}
