/** The thread that owns the process's only writing connection. */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { createAttemptWriter } from './attempt-rows.ts'
import { createKnockCommit } from './commit-knock.ts'
import { closeWriter, openWriter } from './connection.ts'
import type { Database } from './database.ts'
import { createDecisionWriter } from './decision-rows.ts'
import { createExpansion } from './delivery-expansion.ts'
import { createDeliveryTransactions } from './delivery-transactions.ts'
import { createDeliveryWaits } from './delivery-waits.ts'
import { createGroupCommit } from './group-commit.ts'
import { createImportStaging } from './import-staging.ts'
import { createImportSwap } from './import-swap.ts'
import { createKnockKeeping } from './kept-knocks.ts'
import { createKeyWriter } from './key-rows.ts'
import { watchOpenFile } from './open-file.ts'
import { createPruning } from './prune.ts'
import { createSettlement } from './settle-signatures.ts'
import type { AnswerMessage, Handlers, JobMessage, StartMessage, WriterData } from './writer-jobs.ts'

/** Jobs in one transaction: enough to share a sync, few enough that nobody waits long for it. */
const GROUP_SIZE = 256
/**
 * Each has a transaction to itself, with a group of the others between two of them. An expansion is as small as a few
 * knocks: it shares the sync of those that come next.
 */
const BULK: ReadonlySet<JobMessage[1]> = new Set(['stage', 'keepKnocks', 'swap', 'prune', 'drop'])

function createHandlers(db: Database): Handlers {
  return {
    commit: createKnockCommit(db),
    ...createAttemptWriter(db),
    ...createDecisionWriter(db),
    ...createKeyWriter(db),
    ...createImportStaging(db),
    ...createKnockKeeping(db),
    ...createImportSwap(db),
    ...createSettlement(db),
    expand: createExpansion(db),
    ...createDeliveryTransactions(db),
    ...createDeliveryWaits(db),
    ...createPruning(db),
    probe: createProbe(db),
  }
}

/** Writes more than the largest knock would and takes it out again: whether the disk has room for any. */
function createProbe(db: Database): Handlers['probe'] {
  const write = db.prepare(`INSERT INTO server_keys (server, fetched_at, json) VALUES ('', 0, hex(zeroblob(40960)))`)
  const remove = db.prepare(`DELETE FROM server_keys WHERE server = ''`)
  return () => {
    write.run()
    remove.run()
    return null
  }
}

function serve(port: MessagePort, db: Database, path: string): void {
  const fileFlaw = watchOpenFile(path)
  const commit = createGroupCommit(db, createHandlers(db))
  const small: JobMessage[] = []
  const bulk: JobMessage[] = []
  let closing = false

  const accept = (jobs: readonly JobMessage[]) => {
    for (const job of jobs) {
      if (job[1] === 'close') closing = true
      else (BULK.has(job[1]) ? bulk : small).push(job)
    }
  }
  const run = (jobs: readonly JobMessage[]) => {
    const flaw = fileFlaw()
    // Nothing that this thread could still write would be found again: it ends, and the service with it.
    if (flaw !== undefined) throw new Error(flaw)
    const answers: readonly AnswerMessage[] = jobs.length === 0 ? [] : commit(jobs)
    if (answers.length > 0) port.postMessage(answers)
    // What arrived during the commit joins the next group at once, without a turn of the event loop between.
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      accept(next.message)
    }
  }

  port.on('message', (jobs: readonly JobMessage[]) => {
    accept(jobs)
    while (small.length > 0 || bulk.length > 0) {
      run(small.splice(0, GROUP_SIZE))
      run(bulk.splice(0, 1))
    }
    if (!closing) return
    closeWriter(db)
    port.close()
  })
}

function start(port: MessagePort): void {
  let message: StartMessage
  try {
    const data = workerData as WriterData
    serve(port, openWriter(data), data.path)
    message = { ready: true }
  } catch (error) {
    message = { ready: false, reason: error instanceof Error ? error.message : String(error) }
  }
  port.postMessage(message)
  if (!message.ready) port.close()
}

if (parentPort !== null) start(parentPort)
