/** Removes, now and every minute, what the store no longer keeps, in passes so short that no commit waits for long. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../../knock/ports.ts'
import type { PruneJob } from './jobs.ts'
import type { WriterClient } from './writer-client.ts'

const EVERY_MS = 60_000
/** Between two passes others get their turn. */
const GAP_MS = 4

export interface Maintenance {
  /** Removes all that is due. */
  now(): Promise<void>
  stop(): void
}

export function startMaintenance(writer: WriterClient, clock: Clock, limits: Omit<PruneJob, 'now'>): Maintenance {
  let stopped = false
  let running: Promise<void> | undefined

  const passes = async () => {
    while (!stopped) {
      const result = await writer.run('prune', { now: clock(), ...limits })
      if (!result.ok || !result.output) break
      await pause(GAP_MS)
    }
    running = undefined
  }
  const now = () => {
    running ??= passes()
    return running
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
