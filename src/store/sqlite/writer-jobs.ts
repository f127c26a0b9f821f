/** What the main thread asks of the writer's thread: one entry per kind of job, its input and its answer. */

import type { DeliveryFailure, Pace } from '../../knock/ports/deliveries.ts'
import type { CommitOutcome, KnockCommit } from '../../knock/ports/rooms.ts'
import type { CommonJobs } from '../jobs.ts'
import type { WriterOptions } from './connection.ts'

/** A knock to record, with everything already serialised: strings cross threads cheaply. */
export interface CommitJob {
  readonly now: number
  readonly roomId: string
  readonly eventId: string
  readonly sender: string
  readonly prevEvents: readonly string[]
  readonly json: string
  /** Of the event itself, for a knock whose `prevEvents` are not all known. */
  readonly depth: number
  readonly expect: KnockCommit['expect']
  readonly decision: string
  /** JSON; undefined where nobody gets a copy from us. */
  readonly skipServers: string | undefined
}

export interface TransactionRow {
  readonly destination: string
  readonly txnId: string
  readonly startedAt: number
  readonly attempts: number
  readonly slow: boolean
  readonly refusals: number
  readonly oldestAt: number
  /** Rows of `events`, oldest first. */
  readonly events: readonly number[]
}

export interface Jobs extends CommonJobs {
  commit: { input: CommitJob; output: CommitOutcome }
  writeKeys: { input: { server: string; fetchedAt: number; json: string }; output: null }
  settle: { input: { roomId: string; eventId: string; verdict: 'verified' | 'wrong' }; output: null }
  expand: { input: { now: number }; output: boolean }
  /** The transaction to send next to each of these, as far as something waits for them. */
  assign: { input: { now: number; destinations: readonly string[] }; output: readonly TransactionRow[] }
  delivered: { input: { now: number; destination: string; txnId: string; pace: Pace }; output: null }
  deliveryFailed: { input: { destination: string; txnId: string; failure: DeliveryFailure }; output: null }
  halve: { input: { now: number; destination: string; txnId: string; reason: string; pace: Pace }; output: null }
  /** Nothing is sent to the destination before an instant, as far as the transaction is still its next. */
  postpone: { input: { destination: string; txnId: string; dueAt: number }; output: null }
  resume: { input: { now: number; destinations: readonly string[] }; output: boolean }
  boundWaits: { input: { latest: number }; output: null }
  /** Makes those due that wait until later: one, or all. */
  retry: { input: { now: number; destination: string | undefined }; output: number }
  /** Removes some of the events that were enqueued before an instant. */
  drop: { input: { destination: string; before: number }; output: { dropped: number; more: boolean } }
  /** Whether the event waited. */
  dropEvent: { input: { destination: string; eventId: string }; output: boolean }
  /** Fails while the last transaction could not be written and a new one cannot either. */
  probe: { input: null; output: null }
}

export type JobKind = keyof Jobs

export type Handlers = { readonly [K in JobKind]: (input: Jobs[K]['input']) => Jobs[K]['output'] }

/** Id, kind and input of a job; `close` ends the thread after all that came before. */
export type JobMessage = readonly [id: number, kind: JobKind | 'close', input: unknown]

/** Id, whether it was done and is on disk, and the output or the reason. */
export type AnswerMessage = readonly [id: number, done: boolean, value: unknown]

/** What the thread says first. */
export type StartMessage = { readonly ready: true } | { readonly ready: false; readonly reason: string }

export interface WriterData extends WriterOptions {}
