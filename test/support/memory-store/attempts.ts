/** Attempts of unknown outcome in memory. */
import type { AttemptStore, Held, KnockAttempt } from '../../../src/knock/ports/rooms.ts'
import { canonicalJsonText } from '../../../src/matrix/canonical-json.ts'
import type { EventId } from '../../../src/matrix/identifiers.ts'
import { MAX_ATTEMPT_BYTES, MAX_ATTEMPTS } from '../../../src/store/attempts.ts'
import { encodeDecision } from '../../../src/store/stored-decision.ts'

export interface MemoryAttempts extends AttemptStore {
  /** The same as `endAttempt`, at once. */
  end(eventId: EventId): void
  /** @param before milliseconds since the epoch; attempts that began then or before are given up */
  forget(before: number): void
  held(): Held
}

export function createAttempts(): MemoryAttempts {
  const attempts = new Map<EventId, KnockAttempt>()
  let bytes = 0
  const end = (eventId: EventId): void => {
    const ended = attempts.get(eventId)
    if (ended === undefined) return
    attempts.delete(eventId)
    bytes -= bytesOf(ended)
  }
  return {
    end,
    endAttempt: async (eventId) => end(eventId),
    async beginAttempt(attempt) {
      const { eventId } = attempt.event
      if (attempts.has(eventId) || attempts.size >= MAX_ATTEMPTS || bytes >= MAX_ATTEMPT_BYTES) return true
      attempts.set(eventId, attempt)
      bytes += bytesOf(attempt)
      return true
    },
    async listAttempts(limit, after) {
      const found = [...attempts.values()].filter((attempt) => after === undefined || compare(after, attempt) < 0)
      return found.sort(compare).slice(0, limit)
    },
    held: () => ({ rows: attempts.size, bytes }),
    forget(before) {
      for (const [eventId, { decision }] of attempts) if (decision.time <= before) end(eventId)
    },
  }
}

function bytesOf({ event, decision }: KnockAttempt): number {
  return Buffer.byteLength(canonicalJsonText(event.pdu)) + Buffer.byteLength(encodeDecision(decision))
}

function compare(left: KnockAttempt, right: KnockAttempt): number {
  const later = left.decision.time - right.decision.time
  if (later !== 0 || left.event.eventId === right.event.eventId) return later
  return left.event.eventId < right.event.eventId ? -1 : 1
}
