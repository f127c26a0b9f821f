/** When destinations are tried again: what makes them due before their time. */
import type { Database } from './connection.ts'
import type { Handlers } from './jobs.ts'

/** Those that wait after a failure and did not name the time themselves; the reader asks the same before it writes. */
export const RESUMABLE = 'destination = ? AND due_at > ? AND attempts > 0 AND asked = 0'

export function createDeliveryWaits(db: Database): Pick<Handlers, 'resume' | 'boundWaits' | 'retry'> {
  const resume = db.prepare(`UPDATE destinations SET due_at = ? WHERE ${RESUMABLE}`)
  const bound = db.prepare('UPDATE destinations SET due_at = ?1 WHERE due_at > ?1')
  const retryOne = db.prepare('UPDATE destinations SET due_at = ?1 WHERE destination = ?2 AND due_at > ?1')

  return {
    resume({ now, destinations }) {
      let resumed = false
      for (const destination of destinations) {
        if (Number(resume.run(now, destination, now).changes) > 0) resumed = true
      }
      return resumed
    },
    boundWaits({ latest }) {
      bound.run(latest)
      return null
    },
    retry({ now, destination }) {
      const { changes } = destination === undefined ? bound.run(now) : retryOne.run(now, destination)
      return Number(changes)
    },
  }
}
