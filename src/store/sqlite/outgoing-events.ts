/** Accepted knocks as they go out: the stored bytes themselves, read once for all the servers that get them. */
import { LRUCache } from 'lru-cache'
import type { OutgoingEvent } from '../../knock/ports/deliveries.ts'
import type { EventId } from '../../matrix/identifiers.ts'
import type { Database } from './database.ts'

/** Events in memory beside those on their way: this many, and this many bytes at most. */
const MAX_EVENTS = 1_000
const MAX_BYTES = 4_000_000

interface EventRow {
  readonly eventId: string
  readonly json: Uint8Array
}

/** @returns the event of a row of `events`, or undefined where the row is gone */
export function createOutgoingEvents(db: Database): (row: number) => OutgoingEvent | undefined {
  // Canonical JSON has no control characters: its bytes are those that were bound. See bound-text.ts.
  const read = db.prepare('SELECT event_id AS eventId, CAST(json AS BLOB) AS json FROM events WHERE event = ?')
  const known = new LRUCache<number, OutgoingEvent>({ max: MAX_EVENTS, maxSize: MAX_BYTES })
  return (row) => {
    const kept = known.get(row)
    if (kept !== undefined) return kept
    const stored = read.get(row) as EventRow | undefined
    if (stored === undefined) return undefined
    const { buffer, byteOffset, byteLength } = stored.json
    const event = { eventId: stored.eventId as EventId, json: Buffer.from(buffer, byteOffset, byteLength) }
    known.set(row, event, { size: event.json.length })
    return event
  }
}
