/** The embedded store: one file, one writing thread, reads on the caller's thread. docs/architecture.md, "A commit". */
import type { Clock, CommitOutcome, KnockCommit } from '../../knock/ports/rooms.ts'
import type { Store, StoreCheck } from '../../knock/ports/store.ts'
import { canonicalJsonText } from '../../matrix/canonical-json.ts'
import { prevEventIds } from '../../matrix/pdu.ts'
import { createAttempts } from '../attempts.ts'
import { createDecisionQueue } from '../decision-queue.ts'
import { type Maintenance, startMaintenance } from '../maintenance.ts'
import { type Retention, retentionOf } from '../retention.ts'
import { beginRoomImport } from '../room-import.ts'
import { encodeDecision } from '../stored-decision.ts'
import { encodeKeys } from '../stored-keys.ts'
import { createAttemptReader } from './attempt-rows.ts'
import { openReader } from './connection.ts'
import type { Database } from './database.ts'
import { createDecisionReader } from './decision-rows.ts'
import { createDeliveryQueue } from './delivery-queue.ts'
import { createEventReader } from './event-reader.ts'
import { findFlaws } from './flaws.ts'
import { createHoldingsReader } from './holdings.ts'
import { createKeyReader } from './key-rows.ts'
import { watchOpenFile } from './open-file.ts'
import { createRoomCopy } from './room-copy.ts'
import { createRoomList } from './room-list.ts'
import { createRoomReader } from './room-reader.ts'
import { createUncheckedReader } from './unchecked-events.ts'
import { startWriter, type WriterClient } from './writer-client.ts'

export interface SqliteStoreOptions extends Partial<Retention> {
  readonly path: string
  readonly clock: Clock
  /** The newest refusals of which the record is kept. */
  readonly maxRefusals?: number
  /** An import that gave no sign of life for so long is abandoned, in milliseconds. */
  readonly abandonedMs?: number
  /** The file never grows beyond this. */
  readonly maxBytes?: number
}

export interface SqliteStore extends Store {
  /** Removes everything that is no longer kept, in bounded passes. The store does so by itself every minute. */
  prune(): Promise<void>
  /** Records of decisions that were lost because too many waited or the disk was full. */
  lostDecisions(): number
}

const DEFAULT_MAX_REFUSALS = 100_000
const DEFAULT_ABANDONED_MS = 10 * 60 * 1000

/**
 * Opens the store, and creates its file (mode 0600) where there is none.
 * @throws Error where the file is damaged, of a newer version, or cannot be written durably
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  const { path, clock, maxBytes } = options
  const retention = retentionOf(options)
  const { maxRefusals = DEFAULT_MAX_REFUSALS, abandonedMs = DEFAULT_ABANDONED_MS } = options
  const writer = await startWriter({ path, ...(maxBytes !== undefined && { maxBytes }) })
  const limits = { ...retention, maxRefusals, abandonedMs }
  try {
    return assemble(openReader(path), writer, startMaintenance(writer, clock, limits), { path, clock, ...retention })
  } catch (error) {
    await writer.close()
    throw error
  }
}

function assemble(
  db: Database,
  writer: WriterClient,
  maintenance: Maintenance,
  { path, clock, historyMs }: { readonly path: string; readonly clock: Clock; readonly historyMs: number },
): SqliteStore {
  const events = createEventReader(db)
  const rooms = createRoomReader(db, events, { clock, historyMs })
  const list = createRoomList(db, events)
  const copyRoom = createRoomCopy(db)
  const waitingDecisions = createDecisionQueue(writer, clock)
  const decisions = createDecisionReader(db)
  const keys = createKeyReader(db)
  const unchecked = createUncheckedReader(db, events)
  const holdings = createHoldingsReader(db)
  const fileFlaw = watchOpenFile(path)
  const listeners: (() => void)[] = []

  return {
    ...createDeliveryQueue(db, writer, clock),
    ...createAttempts(writer, createAttemptReader(db)),
    onEnqueued: (listener) => listeners.push(listener),
    readRoom: async (roomId, userId) => rooms.room(roomId, userId),
    readFacts: async (roomId) => rooms.facts(roomId),
    readExtremities: async (roomId) => rooms.extremities(roomId),
    hasJoinedMember: async (roomId, server) => rooms.hasJoinedMember(roomId, server),
    readContext: async (question) => rooms.context(question),
    async commitKnock(commit) {
      const outcome = await record(writer, commit, clock())
      if (outcome.kind === 'committed') for (const listener of listeners) listener()
      return outcome
    },
    recordDecision: (decision) => waitingDecisions.add(decision),
    readServerKeys: async (server) => keys(server),
    async writeServerKeys({ server, fetchedAt, keys: verifyKeys }) {
      await writer.demand('writeKeys', { server, fetchedAt, json: encodeKeys(verifyKeys) })
    },
    beginImport: (header) => beginRoomImport(writer, header, clock),
    listRooms: async (after, limit) => list.list(after, limit),
    listFlaws: async (filter) => list.flaws(filter),
    copyRoom: async (roomId) => copyRoom(roomId),
    roomSummary: async (roomId) => list.summary(roomId),
    async listDecisions(filter) {
      await waitingDecisions.flush()
      return decisions(filter)
    },
    unverifiedEvents: async (limit) => unchecked(limit),
    async settle(roomId, eventId, verdict) {
      await writer.demand('settle', { roomId, eventId, verdict })
    },
    check: () => check(db, writer, fileFlaw),
    flaws: async () => findFlaws(db),
    holdings: async () => holdings(),
    onLost: writer.onLost,
    prune: maintenance.now,
    lostDecisions: waitingDecisions.lost,
    async close() {
      maintenance.stop()
      await waitingDecisions.flush()
      await writer.close()
      if (db.isOpen) db.close()
    },
  }
}

async function record(writer: WriterClient, commit: KnockCommit, now: number): Promise<CommitOutcome> {
  const { eventId, pdu, json = canonicalJsonText(pdu) } = commit.event
  const result = await writer.run('commit', {
    now,
    roomId: commit.roomId,
    eventId,
    sender: commit.sender,
    prevEvents: prevEventIds(pdu),
    json,
    depth: pdu.depth,
    expect: commit.expect,
    decision: encodeDecision(commit.decision),
    skipServers: commit.skipServers === 'all' ? undefined : JSON.stringify(commit.skipServers),
  })
  return result.ok ? result.output : { kind: 'failed', reason: result.reason }
}

/** Looks at the file, reads, and while the last transaction failed, tries whether another one does. */
async function check(db: Database, writer: WriterClient, fileFlaw: () => string | undefined): Promise<StoreCheck> {
  const flaw = fileFlaw()
  if (flaw !== undefined) {
    // The writer looks too before it writes, and ends: waiting for the next knock would only cost that one.
    await writer.run('probe', null)
    return { ok: false, reason: flaw }
  }
  try {
    db.prepare('SELECT 1 FROM rooms LIMIT 1').get()
  } catch (error) {
    return { ok: false, reason: `the store cannot be read: ${(error as Error).message}` }
  }
  if (writer.lastFailure() === undefined) return { ok: true }
  const probe = await writer.run('probe', null)
  return probe.ok ? { ok: true } : { ok: false, reason: `the store cannot be written: ${probe.reason}` }
}
