/** Attempts of unknown outcome in memory. */
import type { AttemptStore, KnockAttempt } from '../../knock/ports.ts'
import type { EventId } from '../../matrix/identifiers.ts'
import { MAX_ATTEMPTS } from '../attempts.ts'

export interface MemoryAttempts extends AttemptStore {
  /** The same as `endAttempt`, at once. */
  end(eventId: EventId): void
  /** @param before milliseconds since the epoch; attempts that began then or before are given up */
  forget(before: number): void
}

export function createAttempts(): MemoryAttempts {
  const attempts = new Map<EventId, KnockAttempt>()
  const end = (eventId: EventId): void => void attempts.delete(eventId)
  return {
    end,
    endAttempt: async (eventId) => end(eventId),
    async beginAttempt(attempt) {
      const { eventId } = attempt.event
      if (!attempts.has(eventId) && attempts.size < MAX_ATTEMPTS) attempts.set(eventId, attempt)
      return true
    },
    async listAttempts(limit, after) {
      const found = [...attempts.values()].filter((attempt) => after === undefined || compare(after, attempt) < 0)
      return found.sort(compare).slice(0, limit)
    },
    forget(before) {
      for (const [eventId, { decision }] of attempts) if (decision.time <= before) end(eventId)
    },
  }
}

function compare(left: KnockAttempt, right: KnockAttempt): number {
  const later = left.decision.time - right.decision.time
  if (later !== 0 || left.event.eventId === right.event.eventId) return later
  return left.event.eventId < right.event.eventId ? -1 : 1
}
