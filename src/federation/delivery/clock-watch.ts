/** Notices that the wall clock was set, by a clock that nobody can set. */
import type { Clock } from '../../knock/ports/rooms.ts'

/** Smaller steps change nothing that anyone waits for. */
const STEP_MS = 10_000

export interface ClockWatch {
  /** How the wall clock was set since the last look; the first look cannot tell. */
  look(): 'steady' | 'back' | 'ahead' | 'unknown'
}

/** @param uptime milliseconds that only ever pass, from any start */
export function createClockWatch(clock: Clock, uptime: () => number): ClockWatch {
  let lastOffset: number | undefined
  return {
    look() {
      const offset = clock() - uptime()
      const step = lastOffset === undefined ? undefined : offset - lastOffset
      lastOffset = offset
      if (step === undefined) return 'unknown'
      if (step < -STEP_MS) return 'back'
      return step > STEP_MS ? 'ahead' : 'steady'
    },
  }
}
