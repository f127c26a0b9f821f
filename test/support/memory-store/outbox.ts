/** The outbox in memory: the same order and the same transactions as on disk, for as long as the process lives. */
import type { DeliveryAdministration, DeliveryQueue } from '../../../src/knock/ports/deliveries.ts'
import type { Clock, Held } from '../../../src/knock/ports/rooms.ts'
import { canonicalJson } from '../../../src/matrix/canonical-json.ts'
import type { RoomId, ServerName } from '../../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../../src/matrix/pdu.ts'
import { EXPANDED_SERVERS } from '../../../src/store/outgoing-transaction.ts'
import { addRow, createTransactions, type Destinations, type Waiting } from './outbox-transactions.ts'

interface Enqueued extends Waiting {
  /** Joined servers that have no row yet. */
  readonly servers: ServerName[]
}

export interface Outbox extends DeliveryQueue, DeliveryAdministration {
  held(): Held
  enqueue(event: RoomEvent, servers: readonly ServerName[]): void
}

export function createOutbox(clock: Clock): Outbox {
  const knocks: Enqueued[] = []
  const destinations: Destinations = { waiting: new Map(), slow: new Map() }
  const listeners: (() => void)[] = []
  let places = 0

  return {
    enqueue(event, servers) {
      const outgoing = { eventId: event.eventId, json: canonicalJson(event.pdu) }
      const roomId = event.pdu.room_id as RoomId
      knocks.push({ event: outgoing, roomId, place: ++places, queuedAt: clock(), servers: [...servers] })
      for (const listener of listeners) listener()
    },
    onEnqueued: (listener) => listeners.push(listener),
    async expand() {
      for (let budget = EXPANDED_SERVERS; budget > 0; ) {
        const knock = knocks[0]
        if (knock === undefined) return false
        const chunk = knock.servers.splice(0, budget)
        const { servers: _, ...row } = knock
        for (const server of chunk) addRow(destinations, server, row, clock())
        if (knock.servers.length === 0) knocks.shift()
        budget -= Math.max(chunk.length, 1)
      }
      return knocks.length > 0
    },
    ...createTransactions(destinations, clock),
    ...createWaits(destinations.waiting, clock),
    ...createLists(destinations.waiting),
    held: () => ({
      rows: [...destinations.waiting.values()].reduce((sum, { rows }) => sum + rows.length, knocks.length),
      bytes: undefined,
    }),
    async depth(now) {
      const all = [...destinations.waiting.values()]
      const oldest = [...knocks, ...all.flatMap(({ rows }) => rows[0] ?? [])].map(({ queuedAt }) => queuedAt)
      return {
        waiting: knocks.length + all.reduce((sum, { rows }) => sum + rows.length, 0),
        failing: all.filter(({ attempts }) => attempts > 0).length,
        oldestAge: oldest.reduce((age, queuedAt) => Math.max(age, now - queuedAt), 0),
      }
    },
  }
}

/** Who waits, and for how long. */
function createWaits(
  destinations: Destinations['waiting'],
  clock: Clock,
): Pick<Outbox, 'resume' | 'boundWaits' | 'retry'> {
  return {
    async resume(servers) {
      let resumed = false
      for (const server of servers) {
        const found = destinations.get(server)
        const earliest = Math.max(clock(), found?.notBefore ?? 0)
        if (found === undefined || found.attempts === 0 || found.dueAt <= earliest) continue
        found.dueAt = earliest
        resumed = true
      }
      return resumed
    },
    async boundWaits(latest) {
      for (const found of destinations.values()) found.dueAt = Math.min(found.dueAt, latest)
    },
    async retry(destination) {
      const now = clock()
      let count = 0
      for (const [name, found] of destinations) {
        if (found.dueAt <= now || (destination !== undefined && name !== destination)) continue
        found.dueAt = now
        count++
      }
      return count
    },
  }
}

function createLists(destinations: Destinations['waiting']): Pick<Outbox, 'listDeliveries' | 'listWaiting'> {
  return {
    async listDeliveries(after, limit) {
      const names = [...destinations.keys()].filter((name) => after === undefined || name > after).sort()
      return names.slice(0, limit).flatMap((destination) => {
        const found = destinations.get(destination)
        if (found === undefined) return []
        const { rows, attempts, dueAt, reason } = found
        return { destination, waiting: rows.length, attempts, dueAt, oldestAt: rows[0]?.queuedAt ?? dueAt, reason }
      })
    },
    async listWaiting(destination, after, limit) {
      const { rows, transaction } = destinations.get(destination) ?? { rows: [], transaction: undefined }
      const told = rows.map(({ event, roomId, place, queuedAt }, at) => {
        const txnId = at < (transaction?.size ?? 0) ? transaction?.txnId : undefined
        return { place, eventId: event.eventId, roomId, bytes: event.json.length, queuedAt, txnId }
      })
      return told.filter(({ place }) => place > after).slice(0, limit)
    },
  }
}
