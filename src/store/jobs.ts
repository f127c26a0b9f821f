/** Work that changes a store on disk, one entry per kind of job that every such store has: its input and its answer. */
import type { ImportOutcome } from '../knock/ports/store.ts'
import type { Retention } from './retention.ts'

export interface DecisionRow {
  readonly roomId: string
  readonly userId: string
  readonly refused: boolean
  readonly json: string
}

export interface StageRow {
  readonly use: 'state' | 'flaw' | 'auth chain' | 'extremity'
  readonly eventId: string
  readonly type: string
  readonly stateKey: string
  readonly membership: string | null
  /** The server of a joined member. */
  readonly joined: string | null
  readonly depth: number
  readonly checked: boolean
  /** Where several branches have values that all count: 0 for the first, then -1, -2 and so on. */
  readonly fromRevision: number
  /** Of a flaw: why the event in its place cannot be used. */
  readonly json: string
}

export interface BeginImport {
  readonly now: number
  readonly roomId: string
  readonly version: string
  readonly ownServer: string
  readonly discardKnocks: boolean
}

export interface AttemptRow {
  readonly eventId: string
  readonly begunAt: number
  readonly json: string
  readonly decision: string
}

export interface PruneJob extends Retention {
  readonly now: number
  readonly abandonedMs: number
  readonly maxRefusals: number
}

export interface CommonJobs {
  decisions: { input: { now: number; rows: readonly DecisionRow[] }; output: null }
  beginAttempt: { input: AttemptRow; output: null }
  endAttempt: { input: { eventId: string }; output: null }
  beginImport: { input: BeginImport; output: number }
  stage: { input: { now: number; snapshot: number; rows: readonly StageRow[] }; output: null }
  touchImport: { input: { now: number; snapshot: number }; output: null }
  /** Takes over some of the knocks that the room has now. True while there are more. */
  keepKnocks: { input: { snapshot: number }; output: boolean }
  /** Undefined where knocks came in meanwhile, too many for one short transaction. */
  swap: { input: { now: number; snapshot: number }; output: ImportOutcome | undefined }
  abortImport: { input: { snapshot: number }; output: null }
  /** One bounded pass. True while there is more to remove. */
  prune: { input: PruneJob; output: boolean }
}

export type JobResult<Output> =
  | { readonly ok: true; readonly output: Output }
  /** Nothing of the job was written. */
  | { readonly ok: false; readonly reason: string }

/** Where jobs are done. */
export interface JobRunner<Jobs extends { [K in keyof Jobs]: { input: unknown; output: unknown } } = CommonJobs> {
  /** Runs a job; answers once it is on disk. */
  run<K extends keyof Jobs>(kind: K, input: Jobs[K]['input']): Promise<JobResult<Jobs[K]['output']>>
  /** Runs a job that has no way to tell its caller of a failure but an exception. */
  demand<K extends keyof Jobs>(kind: K, input: Jobs[K]['input']): Promise<Jobs[K]['output']>
}
