/** A room as it was at one revision, page by page: what is written meanwhile does not show. */
import type { RoomCopy, RoomEventList, SlotFlaw } from '../../knock/ports/store.ts'
import type { EventId, RoomId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import { COPY_PAGE, copyEnded } from '../room-copy.ts'
import { parsePdu } from '../stored-pdu.ts'
import type { Database } from './database.ts'

interface Place {
  readonly room: number
  readonly snapshot: number
  readonly version: string
  readonly revision: number
}

interface EventRow {
  readonly eventId: EventId
  readonly json: string
}

interface StateRow extends EventRow {
  readonly type: string
  readonly stateKey: string
  readonly fromRevision: number
}

type Pages = Generator<readonly RoomEvent[], void>

export function createRoomCopy(db: Database): (roomId: RoomId) => RoomCopy | undefined {
  const readPlace = db.prepare(
    'SELECT room, snapshot, version, revision FROM rooms WHERE room_id = ? AND snapshot IS NOT NULL',
  )
  const stillThere = db.prepare(`SELECT 1 FROM snapshots WHERE snapshot = ? AND phase IN ('current', 'former')`)
  const lists: Readonly<Record<RoomEventList, (place: Place) => Pages>> = {
    pdus: prepareState(db),
    auth_chain: prepareOthers(db),
    extremities: prepareExtremities(db),
  }
  const flaws = prepareFlaws(db)
  return (roomId) => {
    const place = readPlace.get(roomId) as Place | undefined
    if (place === undefined) return undefined
    return {
      roomId,
      version: place.version,
      async *events(list) {
        yield* lists[list](place)
        if (stillThere.get(place.snapshot) === undefined) throw copyEnded()
      },
      async *flaws() {
        yield* flaws(place)
        if (stillThere.get(place.snapshot) === undefined) throw copyEnded()
      },
    }
  }
}

/** At ?5, of the rows of one key. */
const AT_REVISION = '(to_revision IS NULL OR to_revision > ?5) AND from_revision <= ?5'

function prepareState(db: Database): (place: Place) => Pages {
  const read = db.prepare(`
    SELECT s.type, s.state_key AS stateKey, s.from_revision AS fromRevision, e.event_id AS eventId, e.json
    FROM state s JOIN events e ON e.event = s.event
    WHERE s.snapshot = ?1 AND (s.type, s.state_key, s.from_revision) > (?2, ?3, ?4) AND ${AT_REVISION}
    ORDER BY s.type, s.state_key, s.from_revision LIMIT ${COPY_PAGE}`)
  return function* ({ snapshot, revision }) {
    let last: Pick<StateRow, 'type' | 'stateKey' | 'fromRevision'> = { type: '', stateKey: '', fromRevision: -1 }
    for (;;) {
      const rows = read.all(snapshot, last.type, last.stateKey, last.fromRevision, revision) as StateRow[]
      const end = rows.at(-1)
      if (end === undefined) return
      yield rows.map(eventOf)
      last = end
    }
  }
}

/** What the import brought beside its state. */
function prepareOthers(db: Database): (place: Place) => Pages {
  const read = db.prepare(`
    SELECT event, event_id AS eventId, json FROM events
    WHERE snapshot = ? AND event > ? AND checked < 2 ORDER BY event LIMIT ${COPY_PAGE}`)
  const isState = db.prepare(`
    SELECT 1 FROM state
    WHERE snapshot = ?1 AND type = ?2 AND state_key = ?3 AND event = ?4 AND ${AT_REVISION}`)
  const isExtremity = db.prepare(`
    SELECT 1 FROM extremities WHERE room = ?1 AND event_id = ?2 AND snapshot = ?3 AND ?4 = ?4 AND ${AT_REVISION}`)
  return function* ({ room, snapshot, revision }) {
    let last = 0
    for (;;) {
      const rows = read.all(snapshot, last) as (EventRow & { readonly event: number })[]
      const end = rows.at(-1)
      if (end === undefined) return
      yield rows.flatMap((row) => {
        const found = eventOf(row)
        const { type, state_key: stateKey } = found.pdu
        const listed =
          isExtremity.get(room, row.eventId, snapshot, 0, revision) ??
          (stateKey === undefined ? undefined : isState.get(snapshot, type, stateKey, row.event, revision))
        return listed === undefined ? [found] : []
      })
      last = end.event
    }
  }
}

function prepareExtremities(db: Database): (place: Place) => Pages {
  const read = db.prepare(`
    SELECT x.event_id AS eventId, e.json FROM extremities x JOIN events e ON e.event = (
      SELECT c.event FROM events c WHERE c.room = x.room AND c.event_id = x.event_id AND c.snapshot IN (0, x.snapshot)
      ORDER BY c.snapshot DESC LIMIT 1)
    WHERE x.room = ?1 AND x.event_id > ?2 AND x.snapshot = ?3 AND ?4 = ?4 AND ${AT_REVISION}
    ORDER BY x.event_id LIMIT ${COPY_PAGE}`)
  return function* ({ room, snapshot, revision }) {
    let last = ''
    for (;;) {
      const rows = read.all(room, last, snapshot, 0, revision) as EventRow[]
      const end = rows.at(-1)
      if (end === undefined) return
      yield rows.map(eventOf)
      last = end.eventId
    }
  }
}

/** Of places in which nothing was recorded since. */
function prepareFlaws(db: Database): (place: Place) => Generator<readonly SlotFlaw[], void> {
  const read = db.prepare(`
    SELECT f.type, f.state_key AS stateKey, f.reason FROM flaws f
    WHERE f.snapshot = ?1 AND (f.type, f.state_key) > (?2, ?3) AND NOT EXISTS (SELECT 1 FROM state s
      WHERE s.snapshot = f.snapshot AND s.type = f.type AND s.state_key = f.state_key AND s.from_revision BETWEEN 0 AND ?4)
    ORDER BY f.type, f.state_key LIMIT ${COPY_PAGE}`)
  return function* ({ snapshot, revision }) {
    let last: Pick<SlotFlaw, 'type' | 'stateKey'> = { type: '', stateKey: '' }
    for (;;) {
      const rows = read.all(snapshot, last.type, last.stateKey, revision) as SlotFlaw[]
      const end = rows.at(-1)
      if (end === undefined) return
      yield rows
      last = end
    }
  }
}

function eventOf({ eventId, json }: EventRow): RoomEvent {
  return { eventId, pdu: parsePdu(json) }
}
