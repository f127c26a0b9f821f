/** Tells the operator what is missing here, which remotes are not told. It comes in floods, so it is told now and then. */
import type { Clock } from '../knock/ports/rooms.ts'
import type { OpenLog } from './log.ts'

const EVERY_MS = 10_000

/** @returns a function that takes the server whose keys could not be asked for, and what for want of */
export function createLackLog({ log }: Pick<OpenLog, 'log'>, clock: Clock): (server: string, reason: string) => void {
  let toldAt = Number.NEGATIVE_INFINITY
  let untold = 0
  return (server, reason) => {
    const now = clock()
    // A clock that went back must not silence it.
    if (Math.abs(now - toldAt) < EVERY_MS) {
      untold++
      return
    }
    log.warn({ server, reason, untold }, 'keys of a server could not be asked for, for want of something here')
    toldAt = now
    untold = 0
  }
}
