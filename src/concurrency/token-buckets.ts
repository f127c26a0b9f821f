/** So many a second, and so many at once after a silence: for each cause, and for all together. */

export interface Rate {
  readonly perSecond: number
  /** At once, at least 1. */
  readonly burst: number
}

export interface TokenBuckets {
  /**
   * Takes a token of the cause and of all together, where they come in time.
   * @param withinMs longest wait for them, in milliseconds
   * @returns after how many milliseconds they are there, or undefined where that is too long: then none is taken
   */
  take(cause: string, withinMs: number): number | undefined
}

export interface TokenBucketsOptions {
  readonly inAll: Rate
  readonly perCause: Rate
}

/** Causes that are remembered. One that has its burst again need not be. */
const MAX_CAUSES = 10_000

export function createTokenBuckets({ inAll, perCause }: TokenBucketsOptions): TokenBuckets {
  /** By cause, the moment at which its burst is whole again, in milliseconds of the process. */
  const fullAt = new Map<string, number>()
  let allFullAt = 0

  return {
    take(cause, withinMs) {
      const now = performance.now()
      const ofCause = after(fullAt.get(cause), perCause, now)
      const ofAll = after(allFullAt, inAll, now)
      const wait = Math.max(ofCause.wait, ofAll.wait)
      if (wait > withinMs) return undefined
      allFullAt = ofAll.fullAt
      fullAt.delete(cause)
      fullAt.set(cause, ofCause.fullAt)
      const [oldest] = fullAt.keys()
      if (fullAt.size > MAX_CAUSES && oldest !== undefined) fullAt.delete(oldest)
      return wait
    },
  }
}

/** What one more token makes of a bucket. */
function after(
  fullAt = 0,
  { perSecond, burst }: Rate,
  now: number,
): { readonly fullAt: number; readonly wait: number } {
  const tokenMs = 1000 / perSecond
  const next = Math.max(fullAt, now) + tokenMs
  return { fullAt: next, wait: Math.max(next - now - burst * tokenMs, 0) }
}
