/** Attempts of unknown outcome as rows. */
import { type AttemptReader, MAX_ATTEMPT_BYTES, MAX_ATTEMPTS, type StoredAttempt } from '../attempts.ts'
import type { Database } from './database.ts'
import type { Handlers } from './writer-jobs.ts'

export function createAttemptWriter(db: Database): Pick<Handlers, 'beginAttempt' | 'endAttempt'> {
  const insert = db.prepare(`
    INSERT INTO knock_attempts (event_id, begun_at, json, decision) SELECT ?, ?, ?, ?
    FROM holdings WHERE name = 'attempts' AND row_count < ${MAX_ATTEMPTS} AND bytes < ${MAX_ATTEMPT_BYTES} ON CONFLICT (event_id) DO NOTHING`)
  const remove = createAttemptRemoval(db)
  return {
    beginAttempt({ eventId, begunAt, json, decision }) {
      insert.run(eventId, begunAt, json, decision)
      return null
    },
    endAttempt({ eventId }) {
      remove(eventId)
      return null
    },
  }
}

export function createAttemptRemoval(db: Database): (eventId: string) => void {
  const remove = db.prepare('DELETE FROM knock_attempts WHERE event_id = ?')
  return (eventId) => void remove.run(eventId)
}

export function createAttemptReader(db: Database): AttemptReader {
  const read = db.prepare(`
    SELECT event_id AS eventId, json, decision FROM knock_attempts
    WHERE (begun_at, event_id) > (?, ?) ORDER BY begun_at, event_id LIMIT ?`)
  return (limit, { begunAt, eventId }) => read.all(begunAt, eventId, limit) as StoredAttempt[]
}
