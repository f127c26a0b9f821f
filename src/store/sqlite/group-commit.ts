/**
 * Group commit: what waits goes into one transaction, each job in a savepoint of its own, and every answer is given
 * after the commit returned. docs/architecture.md, "A commit".
 */
import { beginImmediate } from './connection.ts'
import type { Database } from './database.ts'
import type { AnswerMessage, Handlers, JobKind, JobMessage } from './writer-jobs.ts'

/** Runs a group of jobs as one transaction. The answers come in the order of the jobs. */
export type GroupCommit = (jobs: readonly JobMessage[]) => readonly AnswerMessage[]

export function createGroupCommit(db: Database, handlers: Handlers): GroupCommit {
  const savepoint = db.prepare('SAVEPOINT job')
  const release = db.prepare('RELEASE job')

  const runOne = ([id, kind, input]: JobMessage): AnswerMessage => {
    savepoint.run()
    try {
      // The message's kind and input belong together; only the two ends of the channel know which.
      const handler = handlers[kind as JobKind] as (input: unknown) => unknown
      const output = handler(input)
      release.run()
      return [id, true, output]
    } catch (error) {
      // A full disk can end the whole transaction: then there is no savepoint left, and nothing of the group stands.
      if (!db.isTransaction) throw error
      db.exec('ROLLBACK TO job')
      release.run()
      return [id, false, reasonOf(error)]
    }
  }

  return (jobs) => {
    try {
      beginImmediate(db)
      const answers = jobs.map(runOne)
      db.exec('COMMIT')
      return answers
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK')
      const reason = reasonOf(error)
      return jobs.map(([id]) => [id, false, reason] as const)
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
