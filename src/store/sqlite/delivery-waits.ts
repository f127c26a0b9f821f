/** When destinations are tried again: what makes them due before their time. */
import type { Database } from './database.ts'
import type { Handlers } from './writer-jobs.ts'

/** ?2 waits after a failure, longer than it has to by ?1; the reader asks the same before it writes. */
export const RESUMABLE = 'destination = ?2 AND attempts > 0 AND due_at > max(?1, coalesce(not_before, 0))'

/** Whether the last delivery to a destination failed or took long, as the index has it. */
export const LAGS = '(attempts > 0 OR slow > 0)'

export function createDeliveryWaits(db: Database): Pick<Handlers, 'resume' | 'boundWaits' | 'retry' | 'postpone'> {
  const resume = db.prepare(`
    UPDATE destinations SET due_at = max(?1, coalesce(not_before, 0)) WHERE ${RESUMABLE}`)
  const bound = db.prepare(`UPDATE destinations SET due_at = ?1 WHERE ${LAGS} IN (0, 1) AND due_at > ?1`)
  const postpone = db.prepare('UPDATE destinations SET due_at = ? WHERE destination = ? AND txn_id = ?')
  const retryOne = db.prepare('UPDATE destinations SET due_at = ?1 WHERE destination = ?2 AND due_at > ?1')

  return {
    resume({ now, destinations }) {
      let resumed = false
      for (const destination of destinations) {
        if (Number(resume.run(now, destination).changes) > 0) resumed = true
      }
      return resumed
    },
    boundWaits({ latest }) {
      bound.run(latest)
      return null
    },
    postpone({ destination, txnId, dueAt }) {
      postpone.run(dueAt, destination, txnId)
      return null
    },
    retry({ now, destination }) {
      const { changes } = destination === undefined ? bound.run(now) : retryOne.run(now, destination)
      return Number(changes)
    },
  }
}
