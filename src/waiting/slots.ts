/** A bounded number of things at a time, and a bounded queue of those that wait for their turn. */

export interface Slots {
  /**
   * Runs the task when a slot is free.
   * @returns its result, or undefined where the queue is full or `waitMs` milliseconds have passed: then it never ran
   */
  run<T>(task: () => Promise<T>, waitMs: number): Promise<T | undefined>
}

/** @param slots at least 1 */
export function createSlots(slots: number, maxWaiting: number): Slots {
  // A Set keeps the order of arrival, and one that gives up leaves it in constant time.
  const waiting = new Set<() => void>()
  let free = slots

  function leave(): void {
    const [next] = waiting
    if (next === undefined) {
      free++
      return
    }
    waiting.delete(next)
    next()
  }

  function enter(waitMs: number): Promise<boolean> {
    if (free > 0) {
      free--
      return Promise.resolve(true)
    }
    if (waiting.size >= maxWaiting || waitMs <= 0) return Promise.resolve(false)
    return new Promise((resolve) => {
      const admit = () => {
        clearTimeout(timer)
        resolve(true)
      }
      const timer = setTimeout(() => {
        waiting.delete(admit)
        resolve(false)
      }, waitMs)
      waiting.add(admit)
    })
  }

  return {
    async run(task, waitMs) {
      if (!(await enter(waitMs))) return undefined
      try {
        return await task()
      } finally {
        leave()
      }
    },
  }
}
