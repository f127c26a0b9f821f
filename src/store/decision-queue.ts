/** Decisions that change no room on their way to the disk: bounded in memory, written together, never waited for. */
import type { Clock, Decision } from '../knock/ports/rooms.ts'
import type { JobRunner } from './jobs.ts'
import { encodeDecision } from './stored-decision.ts'

/** Decisions that wait at most; beyond it the oldest are forgotten. */
const MAX_WAITING = 10_000
const BATCH = 500
const DELAY_MS = 50

export interface DecisionQueue {
  add(decision: Decision): void
  /** Writes all that wait. */
  flush(): Promise<void>
  /** Decisions that were forgotten because too many waited or could not be written. */
  lost(): number
}

export function createDecisionQueue(writer: Pick<JobRunner, 'run'>, clock: Clock): DecisionQueue {
  const waiting: Decision[] = []
  let lost = 0
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> | undefined

  const writeAll = async () => {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH)
      const rows = batch.map((decision) => ({
        roomId: decision.roomId,
        userId: decision.userId,
        refused: decision.outcome === 'refused',
        json: encodeDecision(decision),
      }))
      const result = await writer.run('decisions', { now: clock(), rows })
      if (!result.ok) lost += batch.length
    }
  }
  const flush = async () => {
    clearTimeout(timer)
    timer = undefined
    while (writing !== undefined || waiting.length > 0) {
      writing ??= writeAll().finally(() => {
        writing = undefined
      })
      await writing
    }
  }

  return {
    add(decision) {
      waiting.push(decision)
      if (waiting.length > MAX_WAITING) {
        waiting.shift()
        lost++
      }
      timer ??= setTimeout(() => void flush(), DELAY_MS)
      timer.unref()
    },
    flush,
    lost: () => lost,
  }
}
