/** Attempts of unknown outcome as a store on disk keeps them. */
import type { AttemptStore, KnockAttempt } from '../knock/ports/rooms.ts'
import { canonicalJsonText } from '../matrix/canonical-json.ts'
import type { EventId } from '../matrix/identifiers.ts'
import type { AttemptRow, JobRunner } from './jobs.ts'
import { decodeDecision, encodeDecision } from './stored-decision.ts'
import { parsePdu } from './stored-pdu.ts'

/** Beyond it none is kept, so that a homeserver that is down for long fills no disk. */
export const MAX_ATTEMPTS = 10_000
/** The same for what they are made of: an event has up to 64 KiB. */
export const MAX_ATTEMPT_BYTES = 64 * 1024 * 1024

/** An attempt's columns, as a database gives them back. */
export interface StoredAttempt {
  readonly eventId: EventId
  readonly json: string | Buffer
  readonly decision: string | Buffer
}

/** Reads the oldest attempts that come after a place in their order. */
export type AttemptReader = (
  limit: number,
  after: Pick<AttemptRow, 'begunAt' | 'eventId'>,
) => readonly StoredAttempt[] | Promise<readonly StoredAttempt[]>

const START = { begunAt: Number.MIN_SAFE_INTEGER, eventId: '' }

export function createAttempts(writer: Pick<JobRunner, 'run'>, read: AttemptReader): AttemptStore {
  return {
    beginAttempt: async (attempt) => (await writer.run('beginAttempt', rowOf(attempt))).ok,
    async endAttempt(eventId) {
      await writer.run('endAttempt', { eventId })
    },
    async listAttempts(limit, after) {
      const rows = await read(limit, after === undefined ? START : placeOf(after))
      return rows.map(attemptOf)
    },
  }
}

function placeOf({ event, decision }: KnockAttempt): Pick<AttemptRow, 'begunAt' | 'eventId'> {
  return { begunAt: decision.time, eventId: event.eventId }
}

function rowOf(attempt: KnockAttempt): AttemptRow {
  const { pdu, json = canonicalJsonText(pdu) } = attempt.event
  return { ...placeOf(attempt), json, decision: encodeDecision(attempt.decision) }
}

function attemptOf({ eventId, json, decision }: StoredAttempt): KnockAttempt {
  return { event: { eventId, pdu: parsePdu(json) }, decision: decodeDecision(decision) }
}
