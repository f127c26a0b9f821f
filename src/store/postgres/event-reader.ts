/** Stored events by row, decoded once: a row never changes its event, while one event id can have several copies. */
import { LRUCache } from 'lru-cache'
import type { RoomEvent } from '../../matrix/event.ts'
import type { EventId } from '../../matrix/identifiers.ts'
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

export interface EventReader {
  /** The event of a row that a statement has read with everything in it. */
  decode(row: EventRow): RoomEvent
  /** The events of rows, of which a row that is gone is missing. One statement at most, none where all are in memory. */
  load(run: Run, rows: readonly number[]): Promise<ReadonlyMap<number, RoomEvent>>
  /** Forgets all: another server may have given the same numbers to other events. */
  forget(): void
}

const READ: Statement = {
  name: 'events',
  text: 'SELECT event, event_id AS "eventId", json FROM events WHERE event = ANY ($1::bigint[])',
}

export function createEventReader(): EventReader {
  const decoded = new LRUCache<number, RoomEvent>({ max: MAX_EVENTS, maxSize: MAX_BYTES })

  const decode = ({ event, eventId, json }: EventRow): RoomEvent => {
    const kept = decoded.get(event)
    if (kept !== undefined) return kept
    const read = { eventId: text(eventId) as EventId, pdu: parsePdu(json) }
    decoded.set(event, read, { size: json.length })
    return read
  }

  return {
    decode,
    async load(run, rows) {
      const found = new Map<number, RoomEvent>()
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
