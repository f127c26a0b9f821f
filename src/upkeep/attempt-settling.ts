/**
 * Looks again and again for knocks whose handing over was not seen to its end, for as long as there are any. The homeserver
 * may have been down meanwhile, or we. docs/decisions/0008-rooms-from-a-homeserver.md
 */
import type { RoomWitness } from '../knock/ports/homeserver.ts'
import type { AttemptStore, KnockAttempt } from '../knock/ports/rooms.ts'
import { type SettlingPorts, settleAttempts } from '../knock/settle-attempts.ts'

export interface AttemptSettlingPorts extends SettlingPorts {
  readonly store: SettlingPorts['store'] & Pick<AttemptStore, 'listAttempts'>
  readonly witness: RoomWitness
  /** An attempt that is younger may still be under way, here or in another process. Milliseconds. */
  readonly underWayMs: number
  readonly observer: {
    settled(attempt: KnockAttempt): void
    /** How many attempts there are. */
    waiting(attempts: number): void
    /** The store failed; settling goes on with its next round. */
    failed(error: unknown): void
  }
}

export interface AttemptSettling {
  start(): void
  /** Begins nothing more and waits for what is under way. */
  stop(): Promise<void>
}

/** How long it rests, in milliseconds. */
export interface Pace {
  /** Between two rounds of one pass over all attempts, and between the homeserver's word and a round. */
  readonly gapMs: number
  /** Between two passes. */
  readonly pauseMs: number
  /** While the homeserver does not answer, or the store. */
  readonly longestPauseMs: number
}

const PACE: Pace = { gapMs: 1_000, pauseMs: 5_000, longestPauseMs: 60_000 }
const ATTEMPTS_PER_ROUND = 50
const LOOK_WITHIN_MS = 10_000
/** What was not in its room for so long is looked for once a minute. */
const YOUNG_MS = 10 * 60_000
const OLD_EVERY_MS = 60_000

export function createAttemptSettling(ports: AttemptSettlingPorts, pace = PACE): AttemptSettling {
  const { clock, observer } = ports
  let timer: NodeJS.Timeout | undefined
  let round: Promise<void> = Promise.resolve()
  let stopped = false
  let hurried = false
  let { pauseMs } = pace
  let last: KnockAttempt | undefined
  let counted = 0
  let oldToo = true
  let oldLookedAt = Number.NEGATIVE_INFINITY

  function wait(milliseconds: number): void {
    if (!stopped) timer = setTimeout(next, milliseconds)
  }

  function next(): void {
    timer = undefined
    hurried = false
    round = oneRound()
      .catch((error) => {
        observer.failed(error)
        return pace.longestPauseMs
      })
      .then(wait)
  }

  function beginPass(): void {
    const now = clock()
    counted = 0
    oldToo = Math.abs(now - oldLookedAt) >= OLD_EVERY_MS
    if (oldToo) oldLookedAt = now
  }

  function isDue({ decision: { time } }: KnockAttempt): boolean {
    const age = clock() - time
    // The clock went back: nothing is under way for long.
    if (age < 0) return true
    return age >= ports.underWayMs && (oldToo || age < YOUNG_MS)
  }

  /** @returns after how many milliseconds the next round begins */
  async function oneRound(): Promise<number> {
    if (last === undefined) beginPass()
    const attempts = await ports.store.listAttempts(ATTEMPTS_PER_ROUND, last)
    const { settled, answered } = await settleAttempts(ports, attempts.filter(isDue), clock() + LOOK_WITHIN_MS)
    for (const attempt of settled) observer.settled(attempt)
    counted += attempts.length - settled.length
    const isOver = attempts.length < ATTEMPTS_PER_ROUND
    last = isOver ? undefined : attempts.at(-1)
    if (isOver) observer.waiting(counted)
    pauseMs = answered ? pace.pauseMs : Math.min(2 * pauseMs, pace.longestPauseMs)
    return answered && !isOver ? pace.gapMs : pauseMs
  }

  ports.witness.onTold(() => {
    if (timer === undefined || hurried) return
    clearTimeout(timer)
    hurried = true
    wait(pace.gapMs)
  })
  return {
    start: next,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await round
    },
  }
}
