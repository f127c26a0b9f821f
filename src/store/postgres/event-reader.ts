/** Stored events by row, decoded once: a row never changes its event, while one event id can have several copies. */
import { LRUCache } from 'lru-cache'
import type { OutgoingEvent } from '../../knock/ports/deliveries.ts'
import type { EventId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import { parsePdu } from '../stored-pdu.ts'
import { text } from './bytea.ts'
import type { Run, Statement } from './database.ts'

/** Decoded events in memory: this many, and this many bytes of JSON at most. */
const MAX_EVENTS = 5_000
const MAX_BYTES = 4_000_000

/** A row of `events` as statements select it. */
export interface EventRow {
  readonly event: number
  readonly eventId: Buffer
  readonly json: Buffer
}

export interface RowReader<Event> {
  /** The event of a row that a statement has read with everything in it. */
  decode(row: EventRow): Event
  /** The events of rows, of which a row that is gone is missing. One statement at most, none where all are in memory. */
  load(run: Run, rows: readonly number[]): Promise<ReadonlyMap<number, Event>>
  /** Forgets all: another server may have given the same numbers to other events. */
  forget(): void
}

export type EventReader = RowReader<RoomEvent>

const READ: Statement = {
  name: 'events',
  text: 'SELECT event, event_id AS "eventId", json FROM events WHERE event = ANY ($1::bigint[])',
}

export function createEventReader(): EventReader {
  return createRowReader((eventId, json) => ({ eventId, pdu: parsePdu(json) }))
}

/** Reads events as they go out: the stored bytes themselves, once for all the servers that get them. */
export function createOutgoingReader(): RowReader<OutgoingEvent> {
  return createRowReader((eventId, json) => ({ eventId, json }))
}

function createRowReader<Event extends object>(read: (eventId: EventId, json: Buffer) => Event): RowReader<Event> {
  const decoded = new LRUCache<number, Event>({ max: MAX_EVENTS, maxSize: MAX_BYTES })

  const decode = ({ event, eventId, json }: EventRow): Event => {
    const kept = decoded.get(event)
    if (kept !== undefined) return kept
    const made = read(text(eventId) as EventId, json)
    decoded.set(event, made, { size: json.length })
    return made
  }

  return {
    decode,
    async load(run, rows) {
      const found = new Map<number, Event>()
      const missing: number[] = []
      for (const row of rows) {
        const kept = decoded.get(row)
        if (kept === undefined) missing.push(row)
        else found.set(row, kept)
      }
      if (missing.length === 0) return found
      for (const row of await run<EventRow>(READ, [missing])) found.set(row.event, decode(row))
      return found
    },
    forget: () => decoded.clear(),
  }
}
