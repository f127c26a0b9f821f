/** Removes, now and every minute, what the store no longer keeps, in passes so short that no commit waits for long. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../knock/ports/rooms.ts'
import type { JobRunner, PruneJob } from './jobs.ts'

const EVERY_MS = 60_000
/** Between two passes others get their turn. */
const GAP_MS = 4

export interface Maintenance {
  /** Removes all that is due. */
  now(): Promise<void>
  stop(): void
}

export function startMaintenance(writer: JobRunner, clock: Clock, limits: Omit<PruneJob, 'now'>): Maintenance {
  let stopped = false
  let last: Promise<void> = Promise.resolve()

  const passes = async () => {
    while (!stopped) {
      const result = await writer.run('prune', { now: clock(), ...limits })
      if (!result.ok || !result.output) break
      await pause(GAP_MS)
    }
  }
  // What falls due while others are removed is seen only by passes that begin after.
  const now = () => {
    last = last.then(passes)
    return last
  }
  const timer = setInterval(() => void now(), EVERY_MS)
  timer.unref()
  void now()
  return {
    now,
    stop() {
      stopped = true
      clearInterval(timer)
    },
  }
}
