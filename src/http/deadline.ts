/** A bound on how long an answer is waited for. */

/**
 * The outcome of some work, or `late` once the time is over. The work itself goes on: what it records stays recorded.
 * @param milliseconds how long to wait
 */
export function withinTime<Value>(milliseconds: number, work: Promise<Value>): Promise<Value | 'late'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve('late'), milliseconds)
    work.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}
