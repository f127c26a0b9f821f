/** The store for several processes at once: one PostgreSQL database. docs/decisions/0007-several-processes-on-postgresql.md */
import type { Clock } from '../../knock/ports/rooms.ts'
import type { Store } from '../../knock/ports/store.ts'
import { createAttempts } from '../attempts.ts'
import { createDecisionQueue } from '../decision-queue.ts'
import type { CommonJobs } from '../jobs.ts'
import { type Maintenance, startMaintenance } from '../maintenance.ts'
import { type Retention, retentionOf } from '../retention.ts'
import { beginRoomImport } from '../room-import.ts'
import { createAttemptReader, createAttemptWriter } from './attempt-rows.ts'
import { createClaimHolder } from './claim-holder.ts'
import { createKnockCommit } from './commit-knock.ts'
import { createContextReader } from './context-reader.ts'
import { type Database, openDatabase } from './database.ts'
import { createDecisionReader, createDecisionWriter } from './decision-rows.ts'
import { createDeliveryQueue } from './delivery-queue.ts'
import { createEventReader, createOutgoingReader } from './event-reader.ts'
import { createFlawList } from './flaw-rows.ts'
import { createFlawSearch } from './flaws.ts'
import { createHealthCheck } from './health.ts'
import { createHoldingsReader } from './holdings.ts'
import { createImportStaging } from './import-staging.ts'
import { createImportSwap } from './import-swap.ts'
import { createJobRunner } from './job-runner.ts'
import { createKnockKeeping } from './kept-knocks.ts'
import { createKeyRows } from './key-rows.ts'
import { migrate } from './migrate.ts'
import { createPruning } from './prune.ts'
import { createRoomCopy } from './room-copy.ts'
import { createRoomList } from './room-list.ts'
import { createRoomReader } from './room-reader.ts'
import { createSettlement } from './settle-signatures.ts'
import { createUncheckedReader } from './unchecked-events.ts'

export interface PostgresStoreOptions extends Partial<Retention> {
  /** `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with the parameters of the driver. */
  readonly url: string
  readonly clock: Clock
  /** Most connections at once. */
  readonly poolSize?: number
  /** A statement that takes longer is given up, in milliseconds. */
  readonly statementTimeoutMs?: number
  /** How long a caller waits for a lost database before it is told of a failure, in milliseconds. */
  readonly patienceMs?: number
  /** The newest refusals of which the record is kept. */
  readonly maxRefusals?: number
  /** An import that gave no sign of life for so long is abandoned, in milliseconds. */
  readonly abandonedMs?: number
  /** Told what the operator should mend although the store works. */
  readonly warn?: (message: string) => void
}

export interface PostgresStore extends Store {
  /** Removes everything that is no longer kept, in bounded passes. The store does so by itself every minute. */
  prune(): Promise<void>
  /** Records of decisions that were lost because too many waited or the database was. */
  lostDecisions(): number
}

const DEFAULT_POOL_SIZE = 10
const DEFAULT_STATEMENT_TIMEOUT_MS = 10_000
const DEFAULT_PATIENCE_MS = 8_000
const DEFAULT_MAX_REFUSALS = 100_000
const DEFAULT_ABANDONED_MS = 10 * 60 * 1000

/**
 * Opens the store, and makes or updates its tables.
 * @throws Error with a reason for the operator where the database cannot be reached or used; it names no host, user or
 *   password
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<PostgresStore> {
  const database = openDatabase({
    url: options.url,
    poolSize: options.poolSize ?? DEFAULT_POOL_SIZE,
    statementTimeoutMs: options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS,
    patienceMs: options.patienceMs ?? DEFAULT_PATIENCE_MS,
    warn: options.warn ?? (() => undefined),
  })
  try {
    await migrate(database)
  } catch (error) {
    await database.close()
    throw error
  }
  return assemble(database, options)
}

function assemble(database: Database, options: PostgresStoreOptions): PostgresStore {
  const { clock } = options
  const retention = retentionOf(options)
  const events = createEventReader()
  const outgoing = createOutgoingReader()
  database.onLost(events.forget)
  database.onLost(outgoing.forget)
  const jobs = createJobRunner<CommonJobs>({
    decisions: createDecisionWriter(database),
    ...createAttemptWriter(database),
    ...createImportStaging(database),
    ...createKnockKeeping(database),
    ...createImportSwap(database),
    ...createPruning(database),
  })
  const maintenance: Maintenance = startMaintenance(jobs, clock, {
    ...retention,
    maxRefusals: options.maxRefusals ?? DEFAULT_MAX_REFUSALS,
    abandonedMs: options.abandonedMs ?? DEFAULT_ABANDONED_MS,
  })
  const waitingDecisions = createDecisionQueue(jobs, clock)
  const listDecisions = createDecisionReader(database)
  const record = createKnockCommit(database, clock)
  const holder = createClaimHolder(database)
  const listeners: (() => void)[] = []
  let lastCommitFailed = false

  return {
    ...createRoomReader(database, events),
    ...createAttempts(jobs, createAttemptReader(database)),
    ...createKeyRows(database),
    ...createRoomList(database, events),
    copyRoom: createRoomCopy(database),
    listFlaws: createFlawList(database),
    ...createDeliveryQueue(database, outgoing, holder, clock),
    readContext: createContextReader(database, events, { clock, ...retention }),
    async commitKnock(commit) {
      const outcome = await record(commit)
      lastCommitFailed = outcome.kind === 'failed'
      if (outcome.kind === 'committed') for (const listener of listeners) listener()
      return outcome
    },
    onEnqueued: (listener) => listeners.push(listener),
    recordDecision: waitingDecisions.add,
    async listDecisions(filter) {
      await waitingDecisions.flush()
      return listDecisions(filter)
    },
    beginImport: (header) => beginRoomImport(jobs, header, clock),
    unverifiedEvents: createUncheckedReader(database, events),
    settle: createSettlement(database),
    check: createHealthCheck(database, () => lastCommitFailed),
    flaws: createFlawSearch(database),
    holdings: createHoldingsReader(database),
    // A database that was lost is waited for.
    onLost: () => undefined,
    prune: maintenance.now,
    lostDecisions: waitingDecisions.lost,
    async close() {
      maintenance.stop()
      await waitingDecisions.flush()
      await holder.end()
      await database.close()
    },
  }
}
