/** The whole store in memory: for tests and trials. Nothing outlives the process, everything else is as on disk. */
import { LRUCache } from 'lru-cache'
import type { Clock, Decision, StoredServerKeys } from '../../knock/ports.ts'
import type { Store } from '../../knock/store-ports.ts'
import type { RoomId, ServerName } from '../../matrix/identifiers.ts'
import { ATTEMPT_MS, type Retention, retentionOf } from '../retention.ts'
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
  const { historyMs, decisionMs, keyMs } = retentionOf(options)
  const rooms = new Map<RoomId, MemoryRoom>()
  const keys = new LRUCache<ServerName, StoredServerKeys>({ max: MAX_KEY_SERVERS })
  const outbox = createOutbox(clock)
  const decisions = createDecisions(maxDecisions, clock)
  const { end: endAttempt, forget: forgetAttempts, ...attempts } = createAttempts()
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
  const { enqueue, ...queue } = outbox

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
    onLost: () => undefined,
    prune: async () => prune(),
    close: async () => {},
  }
}

/** Decisions, newest last; of each outcome the newest ones stay. */
function createDecisions(most: number, clock: Clock) {
  let kept: (Decision & { readonly recordedAt: number })[] = []
  const counts = { accepted: 0, refused: 0 }
  return {
    add(decision: Decision): void {
      kept.push({ ...decision, recordedAt: clock() })
      if (++counts[decision.outcome] <= most) return
      kept.splice(
        kept.findIndex(({ outcome }) => outcome === decision.outcome),
        1,
      )
      counts[decision.outcome]--
    },
    list({ roomId, userId, limit }: Parameters<Store['listDecisions']>[0]): readonly Decision[] {
      const wanted = (decision: Decision) =>
        (roomId === undefined || decision.roomId === roomId) && (userId === undefined || decision.userId === userId)
      const newest = kept.filter(wanted).reverse().slice(0, limit)
      return newest.map(({ recordedAt: _, ...decision }) => decision)
    },
    forget(before: number): void {
      kept = kept.filter(({ recordedAt }) => recordedAt > before)
      for (const outcome of ['accepted', 'refused'] as const) {
        counts[outcome] = kept.filter((decision) => decision.outcome === outcome).length
      }
    },
  }
}
