/** The main thread's end of the writer: jobs go out in one message per turn, answers come back after the commit. */
import type { Worker } from 'node:worker_threads'
import { spawnThread } from '../../concurrency/spawn.ts'
import type { JobResult, JobRunner } from '../jobs.ts'
import type { AnswerMessage, JobMessage, Jobs, StartMessage, WriterData } from './writer-jobs.ts'

export interface WriterClient extends JobRunner<Jobs> {
  /** Why something could not be written, until a knock or a probe was: what is smaller may fit in where they do not. */
  lastFailure(): string | undefined
  /** Calls back, with the reason, when the thread ended and nobody had closed it. */
  onLost(listener: (reason: string) => void): void
  /** Finishes what was asked before and closes the connection. */
  close(): Promise<void>
}

type Settle = (result: JobResult<unknown>) => void

/**
 * Starts the writer's thread on a database.
 * @throws Error where the database cannot be opened, with the reason for the operator
 */
export async function startWriter(data: WriterData): Promise<WriterClient> {
  const worker = spawnThread(new URL('./writer.ts', import.meta.url), data, LIMITS)
  await started(worker)
  return createClient(worker)
}

/** It keeps little from one group of commits to the next: room to grow would be filled with garbage. */
const LIMITS = { maxYoungGenerationSizeMb: 2 }

function started(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`the writer ended before it began (exit code ${code})`)))
    worker.once('message', (message: StartMessage) => {
      worker.off('error', reject)
      if (message.ready) resolve()
      else reject(new Error(message.reason))
    })
  })
}

function createClient(worker: Worker): WriterClient {
  const pending = new Map<number, { readonly kind: JobMessage[1]; readonly settle: Settle }>()
  const outgoing: JobMessage[] = []
  let lastId = 0
  let failure: string | undefined
  let ended: string | undefined
  let closing = false
  const listeners: ((reason: string) => void)[] = []

  const finish = (reason: string) => {
    if (ended !== undefined) return
    ended = reason
    if (!closing) for (const listener of listeners) listener(reason)
    for (const { settle } of pending.values()) settle({ ok: false, reason })
    pending.clear()
  }
  const exited = new Promise<void>((resolve) => {
    worker.on('error', (error) => finish(error.message))
    worker.on('exit', (code) => {
      finish(closing ? 'the store is closed' : `the writer ended unasked (exit code ${code})`)
      resolve()
    })
  })
  worker.on('message', (answers: readonly AnswerMessage[]) => {
    for (const [id, done, value] of answers) {
      const { kind, settle } = pending.get(id) ?? {}
      pending.delete(id)
      if (!done) failure = String(value)
      else if (kind === 'commit' || kind === 'probe') failure = undefined
      settle?.(done ? { ok: true, output: value } : { ok: false, reason: String(value) })
    }
  })

  const send = (kind: JobMessage[1], input: unknown, settle?: Settle) => {
    const id = ++lastId
    if (settle !== undefined) pending.set(id, { kind, settle })
    if (outgoing.push([id, kind, input]) > 1) return
    // What else this turn of the event loop brings goes along.
    setImmediate(() => worker.postMessage(outgoing.splice(0)))
  }
  const run: WriterClient['run'] = (kind, input) =>
    new Promise((resolve) => {
      if (ended !== undefined) resolve({ ok: false, reason: ended })
      else send(kind, input, resolve as Settle)
    })

  return {
    run,
    async demand(kind, input) {
      const result = await run(kind, input)
      if (!result.ok) throw new Error(`the store could not write: ${result.reason}`)
      return result.output
    },
    lastFailure: () => ended ?? failure,
    onLost(listener) {
      if (ended === undefined) listeners.push(listener)
      else if (!closing) listener(ended)
    },
    async close() {
      closing = true
      if (ended === undefined) send('close', null)
      await exited
    },
  }
}
