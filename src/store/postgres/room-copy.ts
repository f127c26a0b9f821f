/** A room as it was at one revision, page by page: what is written meanwhile does not show. */
import type { RoomAdministration, RoomEventList, SlotFlaw } from '../../knock/ports/store.ts'
import type { EventId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import { COPY_PAGE, copyEnded } from '../room-copy.ts'
import { parsePdu } from '../stored-pdu.ts'
import { bytes, text } from './bytea.ts'
import type { Database, Run, Statement } from './database.ts'
import { type FlawRow, flawOf } from './flaw-rows.ts'

const PLACE: Statement = {
  name: 'copy-place',
  text: 'SELECT room, snapshot, version, revision FROM rooms WHERE room_id = $1 AND snapshot IS NOT NULL',
}
const STILL_THERE: Statement = {
  name: 'copy-still-there',
  text: `SELECT 1 AS there FROM snapshots WHERE snapshot = $1 AND phase IN ('current', 'former')`,
}
const STATE: Statement = {
  name: 'copy-state',
  text: `
    SELECT s.type, s.state_key AS "stateKey", s.from_revision AS "fromRevision", e.event_id AS "eventId", e.json
    FROM state s JOIN events e ON e.event = s.event
    WHERE s.snapshot = $1 AND (s.type, s.state_key, s.from_revision) > ($3, $4, $5)
      AND s.from_revision <= $2 AND (s.to_revision IS NULL OR s.to_revision > $2)
    ORDER BY s.type, s.state_key, s.from_revision LIMIT ${COPY_PAGE}`,
}
const OTHERS: Statement = {
  name: 'copy-others',
  text: `
    SELECT e.event, e.event_id AS "eventId", e.json,
      EXISTS (SELECT 1 FROM extremities x WHERE x.room = e.room AND x.event_id = e.event_id AND x.snapshot = $1
        AND x.from_revision <= $2 AND (x.to_revision IS NULL OR x.to_revision > $2)) AS listed
    FROM events e WHERE e.snapshot = $1 AND e.snapshot > 0 AND e.event > $3 AND e.checked < 2
    ORDER BY e.event LIMIT ${COPY_PAGE}`,
}
/** Which of some events are state. */
const LISTED: Statement = {
  name: 'copy-listed',
  text: `
    SELECT i.event FROM unnest($3::bigint[], $4::bytea[], $5::bytea[]) i(event, type, state_key) JOIN state s
      ON s.snapshot = $1 AND s.type = i.type AND s.state_key = i.state_key AND s.event = i.event
    WHERE s.from_revision <= $2 AND (s.to_revision IS NULL OR s.to_revision > $2)`,
}
const EXTREMITIES: Statement = {
  name: 'copy-extremities',
  text: `
    SELECT x.event_id AS "eventId", e.json FROM extremities x CROSS JOIN LATERAL (
      SELECT c.json FROM events c WHERE c.room = x.room AND c.event_id = x.event_id AND c.snapshot IN (0, x.snapshot)
      ORDER BY c.snapshot DESC LIMIT 1) e
    WHERE x.room = $3 AND x.event_id > $4 AND x.snapshot = $1
      AND x.from_revision <= $2 AND (x.to_revision IS NULL OR x.to_revision > $2)
    ORDER BY x.event_id LIMIT ${COPY_PAGE}`,
}

/** Of places in which nothing was recorded since. */
const FLAWS: Statement = {
  name: 'copy-flaws',
  text: `
    SELECT f.type, f.state_key AS "stateKey", f.reason FROM flaws f
    WHERE f.snapshot = $1 AND (f.type, f.state_key) > ($3, $4) AND NOT EXISTS (SELECT 1 FROM state s
      WHERE s.snapshot = f.snapshot AND s.type = f.type AND s.state_key = f.state_key AND s.from_revision BETWEEN 0 AND $2)
    ORDER BY f.type, f.state_key LIMIT ${COPY_PAGE}`,
}

interface Place {
  readonly room: number
  readonly snapshot: number
  readonly version: string
  readonly revision: number
}

interface EventRow {
  readonly eventId: Buffer
  readonly json: Buffer
}

type Pages = AsyncGenerator<readonly RoomEvent[], void>

const LISTS: Readonly<Record<RoomEventList, (run: Run, place: Place) => Pages>> = {
  pdus: statePages,
  auth_chain: otherPages,
  extremities: extremityPages,
}

export function createRoomCopy({ run }: Database): RoomAdministration['copyRoom'] {
  return async (roomId) => {
    const [place] = await run<Place>(PLACE, [bytes(roomId)])
    if (place === undefined) return undefined
    return {
      roomId,
      version: place.version,
      async *events(list) {
        yield* LISTS[list](run, place)
        if ((await run(STILL_THERE, [place.snapshot])).length === 0) throw copyEnded()
      },
      async *flaws() {
        yield* flawPages(run, place)
        if ((await run(STILL_THERE, [place.snapshot])).length === 0) throw copyEnded()
      },
    }
  }
}

async function* statePages(run: Run, { snapshot, revision }: Place): Pages {
  let last = { type: bytes(''), stateKey: bytes(''), fromRevision: -1 }
  for (;;) {
    const values = [snapshot, revision, last.type, last.stateKey, last.fromRevision]
    const rows = await run<EventRow & typeof last>(STATE, values)
    const end = rows.at(-1)
    if (end === undefined) return
    yield rows.map(eventOf)
    last = end
  }
}

/** What the import brought beside its state. */
async function* otherPages(run: Run, { snapshot, revision }: Place): Pages {
  let last = 0
  for (;;) {
    const rows = await run<EventRow & { event: number; listed: boolean }>(OTHERS, [snapshot, revision, last])
    const end = rows.at(-1)
    if (end === undefined) return
    const events = rows.map((row) => ({ ...row, found: eventOf(row) }))
    const keyed = events.filter(({ found }) => found.pdu.state_key !== undefined)
    const state = await run<{ event: number }>(LISTED, [
      snapshot,
      revision,
      keyed.map(({ event }) => event),
      keyed.map(({ found }) => bytes(found.pdu.type)),
      keyed.map(({ found }) => bytes(found.pdu.state_key ?? '')),
    ])
    const isState = new Set(state.map(({ event }) => event))
    yield events.filter(({ event, listed }) => !listed && !isState.has(event)).map(({ found }) => found)
    last = end.event
  }
}

async function* extremityPages(run: Run, { room, snapshot, revision }: Place): Pages {
  let last = bytes('')
  for (;;) {
    const rows = await run<EventRow>(EXTREMITIES, [snapshot, revision, room, last])
    const end = rows.at(-1)
    if (end === undefined) return
    yield rows.map(eventOf)
    last = end.eventId
  }
}

async function* flawPages(run: Run, { snapshot, revision }: Place): AsyncGenerator<readonly SlotFlaw[], void> {
  let last = { type: bytes(''), stateKey: bytes('') }
  for (;;) {
    const rows = await run<FlawRow>(FLAWS, [snapshot, revision, last.type, last.stateKey])
    const end = rows.at(-1)
    if (end === undefined) return
    yield rows.map(flawOf)
    last = end
  }
}

function eventOf({ eventId, json }: EventRow): RoomEvent {
  return { eventId: text(eventId) as EventId, pdu: parsePdu(json) }
}
