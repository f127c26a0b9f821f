/** The whole store in memory: for tests and trials. Nothing outlives the process, everything else is as on disk. */
import { LRUCache } from 'lru-cache'
import type { Clock, Decision, StoredServerKeys } from '../../../src/knock/ports/rooms.ts'
import type { Store } from '../../../src/knock/ports/store.ts'
import type { RoomId, ServerName } from '../../../src/matrix/identifiers.ts'
import { ATTEMPT_MS, type Retention, retentionOf } from '../../../src/store/retention.ts'
import { encodeDecision } from '../../../src/store/stored-decision.ts'
import { createAttempts } from './attempts.ts'
import { commitInMemory } from './commit-knock.ts'
import { forgetAccepted, forgetEnded } from './forget.ts'
import { createOutbox } from './outbox.ts'
import { copyOf } from './room-copy.ts'
import { beginMemoryImport } from './room-import.ts'
import { createRoomQueries, flawsOf, summaryOf } from './room-queries.ts'
import { inUse, type MemoryRoom } from './room-state.ts'
import { createSignatureAudit } from './signature-audit.ts'

export interface MemoryStoreOptions extends Partial<Retention> {
  readonly clock: Clock
  /** Decisions of each outcome that are kept. */
  readonly maxDecisions?: number
}

export interface MemoryStore extends Store {
  /** Removes everything that is no longer kept. Every import does so too. */
  prune(): Promise<void>
}

const DEFAULT_MAX_DECISIONS = 100_000
/** Servers whose keys are kept. */
const MAX_KEY_SERVERS = 10_000

export function createMemoryStore(options: MemoryStoreOptions): MemoryStore {
  const { clock, maxDecisions = DEFAULT_MAX_DECISIONS } = options
  const { historyMs, decisionMs, keyMs, refusalBytes } = retentionOf(options)
  const rooms = new Map<RoomId, MemoryRoom>()
  const keys = new LRUCache<ServerName, StoredServerKeys>({ max: MAX_KEY_SERVERS })
  const outbox = createOutbox(clock)
  const decisions = createDecisions({ most: maxDecisions, mostBytes: refusalBytes }, clock)
  const { end: endAttempt, forget: forgetAttempts, held: heldAttempts, ...attempts } = createAttempts()
  const prune = () => {
    const recorded = clock() - decisionMs
    for (const room of rooms.values()) {
      forgetEnded(room, clock() - historyMs)
      forgetAccepted(room, recorded)
    }
    decisions.forget(recorded)
    forgetAttempts(clock() - ATTEMPT_MS)
    for (const [server, { fetchedAt }] of keys) if (fetchedAt <= clock() - keyMs) keys.delete(server)
  }
  const { enqueue, held: heldDeliveries, ...queue } = outbox

  return {
    ...queue,
    ...attempts,
    ...createRoomQueries(rooms, clock, historyMs),
    ...createSignatureAudit(rooms),
    async commitKnock(commit) {
      const room = rooms.get(commit.roomId)
      const outcome = commitInMemory(room, commit, clock())
      if (commit.expect === 'in the room' && outcome.kind !== 'conflict') endAttempt(commit.event.eventId)
      if (outcome.kind !== 'committed' || room === undefined) return outcome
      decisions.add(commit.decision)
      if (commit.skipServers === 'all') return outcome
      const skip = new Set(commit.skipServers)
      const servers = [...inUse(room).joined.keys()].filter((server) => !skip.has(server))
      enqueue(commit.event, servers.sort())
      return outcome
    },
    recordDecision: decisions.add,
    listDecisions: async (filter) => decisions.list(filter),
    readServerKeys: async (server) => keys.get(server),
    async writeServerKeys(stored) {
      keys.set(stored.server, stored)
    },
    async beginImport(header) {
      prune()
      return beginMemoryImport(rooms, header, clock)
    },
    async listRooms(after, limit) {
      const found = [...rooms.values()].filter(({ roomId }) => after === undefined || roomId > after)
      found.sort((left, right) => (left.roomId < right.roomId ? -1 : 1))
      return found.slice(0, limit).map(summaryOf)
    },
    async roomSummary(roomId) {
      const room = rooms.get(roomId)
      return room && summaryOf(room)
    },
    async listFlaws(filter) {
      return [...rooms.values()].flatMap((room) => flawsOf(room, filter)).slice(0, filter.limit)
    },
    async copyRoom(roomId) {
      const room = rooms.get(roomId)
      return room && copyOf(room)
    },
    check: async () => ({ ok: true }),
    flaws: async () => [],
    holdings: async () => ({
      rooms: { rows: rooms.size, bytes: undefined },
      events: { rows: [...rooms.values()].reduce((sum, room) => sum + eventsIn(room), 0), bytes: undefined },
      decisions: decisions.held(),
      attempts: heldAttempts(),
      outbox: heldDeliveries(),
      keys: { rows: keys.size, bytes: undefined },
    }),
    onLost: () => undefined,
    prune: async () => prune(),
    close: async () => {},
  }
}

function eventsIn({ accepted, snapshots }: MemoryRoom): number {
  return snapshots.reduce((sum, { events }) => sum + events.size, accepted.size)
}

interface KeptDecision {
  readonly decision: Decision
  readonly recordedAt: number
  readonly bytes: number
}

/** Decisions, newest last; of each outcome the newest ones stay, and of refusals what there is space for. */
function createDecisions({ most, mostBytes }: { readonly most: number; readonly mostBytes: number }, clock: Clock) {
  let kept: KeptDecision[] = []
  const counts = { accepted: { rows: 0, bytes: 0 }, refused: { rows: 0, bytes: 0 } }
  const count = ({ decision, bytes }: KeptDecision, sign: 1 | -1): void => {
    counts[decision.outcome].rows += sign
    counts[decision.outcome].bytes += sign * bytes
  }
  return {
    add(decision: Decision): void {
      const added = { decision, recordedAt: clock(), bytes: Buffer.byteLength(encodeDecision(decision)) }
      kept.push(added)
      count(added, 1)
      const { outcome } = decision
      const isTooMuch = () => counts[outcome].rows > most || (outcome === 'refused' && counts.refused.bytes > mostBytes)
      while (isTooMuch()) {
        const oldest = kept.findIndex((other) => other.decision.outcome === outcome)
        for (const gone of kept.splice(oldest, 1)) count(gone, -1)
      }
    },
    list({ roomId, userId, limit }: Parameters<Store['listDecisions']>[0]): readonly Decision[] {
      const wanted = ({ decision }: KeptDecision) =>
        (roomId === undefined || decision.roomId === roomId) && (userId === undefined || decision.userId === userId)
      const newest = kept.filter(wanted).reverse().slice(0, limit)
      return newest.map(({ decision }) => decision)
    },
    forget(before: number): void {
      for (const old of kept) if (old.recordedAt <= before) count(old, -1)
      kept = kept.filter(({ recordedAt }) => recordedAt > before)
    },
    held: () => ({ rows: kept.length, bytes: counts.accepted.bytes + counts.refused.bytes }),
  }
}
