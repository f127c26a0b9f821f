/** Waiting with an end: what takes longer goes on by itself, nobody waits for it. */

/** Longer timers fire at once in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** The value of the promise, or undefined where it takes longer. @param waitMs milliseconds from now */
export async function within<T>(waitMs: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve: (value: undefined) => void) => {
    timer = setTimeout(() => resolve(undefined), Math.min(Math.max(waitMs, 0), MAX_TIMER_MS))
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
