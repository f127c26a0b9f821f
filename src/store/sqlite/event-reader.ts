/** Stored events by row, decoded once: a row never changes its event, while one event id can have several copies. */
import { LRUCache } from 'lru-cache'
import type { EventId } from '../../matrix/identifiers.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import { parsePdu } from '../stored-pdu.ts'
import type { Database } from './database.ts'

/** Decoded events in memory: this many, and this many characters of JSON at most. */
const MAX_EVENTS = 5_000
const MAX_CHARACTERS = 4_000_000

/** The columns of a row that hold the event. */
export interface StoredEvent {
  readonly eventId: string
  readonly json: string
}

/**
 * The event of a row of `events`, or undefined where the row is gone.
 * @param stored the row's columns, where they were read already
 */
export type EventReader = (row: number, stored?: StoredEvent) => RoomEvent | undefined

export function createEventReader(db: Database): EventReader {
  const read = db.prepare('SELECT event_id AS eventId, json FROM events WHERE event = ?')
  const decoded = new LRUCache<number, RoomEvent>({ max: MAX_EVENTS, maxSize: MAX_CHARACTERS })
  return (row, known) => {
    const kept = decoded.get(row)
    if (kept !== undefined) return kept
    const stored = known ?? (read.get(row) as StoredEvent | undefined)
    if (stored === undefined) return undefined
    const event = { eventId: stored.eventId as EventId, pdu: parsePdu(stored.json) }
    decoded.set(row, event, { size: stored.json.length })
    return event
  }
}
