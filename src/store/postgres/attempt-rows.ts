/** Attempts of unknown outcome as rows. */
import type { EventId } from '../../matrix/identifiers.ts'
import { type AttemptReader, MAX_ATTEMPT_BYTES, MAX_ATTEMPTS } from '../attempts.ts'
import type { CommonJobs } from '../jobs.ts'
import { bytes, text } from './bytea.ts'
import type { Database, Statement } from './database.ts'
import type { Handlers } from './job-runner.ts'

/** Processes that begin attempts at the same instant can together keep a few more than the most. */
const INSERT: Statement = {
  name: 'begin-attempt',
  text: `
    INSERT INTO knock_attempts (event_id, begun_at, json, decision)
    SELECT $1::bytea, $2::bigint, $3::bytea, $4::bytea WHERE (
      SELECT count(*) < ${MAX_ATTEMPTS} AND coalesce(sum(octet_length(json) + octet_length(decision)), 0) < ${MAX_ATTEMPT_BYTES}
      FROM knock_attempts)
    ON CONFLICT (event_id) DO NOTHING`,
}
const REMOVE: Statement = { name: 'end-attempt', text: 'DELETE FROM knock_attempts WHERE event_id = $1' }
const READ: Statement = {
  name: 'attempts',
  text: `
    SELECT event_id AS "eventId", json, decision FROM knock_attempts
    WHERE (begun_at, event_id) > ($1, $2) ORDER BY begun_at, event_id LIMIT $3`,
}

export function createAttemptWriter({ run }: Database): Pick<Handlers<CommonJobs>, 'beginAttempt' | 'endAttempt'> {
  return {
    async beginAttempt({ eventId, begunAt, json, decision }) {
      await run(INSERT, [bytes(eventId), begunAt, bytes(json), bytes(decision)])
      return null
    },
    async endAttempt({ eventId }) {
      await run(REMOVE, [bytes(eventId)])
      return null
    },
  }
}

export function createAttemptReader({ run }: Database): AttemptReader {
  return async (limit, { begunAt, eventId }) => {
    const rows = await run<{ eventId: Buffer; json: Buffer; decision: Buffer }>(READ, [begunAt, bytes(eventId), limit])
    return rows.map((row) => ({ ...row, eventId: text(row.eventId) as EventId }))
  }
}
