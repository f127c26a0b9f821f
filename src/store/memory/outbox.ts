/** The outbox in memory: the same order and the same transactions as on disk, for as long as the process lives. */

import type { DeliveryAdministration, DeliveryQueue, OutgoingTransaction } from '../../knock/delivery-ports.ts'
import type { Clock, Held } from '../../knock/ports.ts'
import type { RoomEvent } from '../../matrix/event.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import { EXPANDED_SERVERS, MAX_PDUS, newTransactionId } from '../outgoing-transaction.ts'

interface Waiting {
  readonly event: RoomEvent
  readonly queuedAt: number
}

interface Enqueued extends Waiting {
  /** Joined servers that have no row yet. */
  readonly servers: ServerName[]
}

interface Destination {
  rows: Waiting[]
  dueAt: number
  attempts: number
  /** What the destination asked for at the last failure. */
  notBefore: number | undefined
  reason: string | undefined
  transaction: { readonly txnId: string; readonly startedAt: number; readonly size: number } | undefined
}

type Destinations = Map<ServerName, Destination>

export interface Outbox extends DeliveryQueue, DeliveryAdministration {
  held(): Held
  enqueue(event: RoomEvent, servers: readonly ServerName[]): void
}

export function createOutbox(clock: Clock): Outbox {
  const knocks: Enqueued[] = []
  const destinations: Destinations = new Map()
  const listeners: (() => void)[] = []

  return {
    enqueue(event, servers) {
      knocks.push({ event, queuedAt: clock(), servers: [...servers] })
      for (const listener of listeners) listener()
    },
    onEnqueued: (listener) => listeners.push(listener),
    async expand() {
      for (let budget = EXPANDED_SERVERS; budget > 0; ) {
        const knock = knocks[0]
        if (knock === undefined) return false
        const chunk = knock.servers.splice(0, budget)
        for (const server of chunk) addRow(destinations, server, knock, clock())
        if (knock.servers.length === 0) knocks.shift()
        budget -= Math.max(chunk.length, 1)
      }
      return knocks.length > 0
    },
    ...createTransactions(destinations, clock),
    ...createWaits(destinations, clock),
    held: () => ({
      rows: [...destinations.values()].reduce((sum, { rows }) => sum + rows.length, knocks.length),
      bytes: undefined,
    }),
    async depth(now) {
      const all = [...destinations.values()]
      const oldest = [...knocks, ...all.flatMap(({ rows }) => rows[0] ?? [])].map(({ queuedAt }) => queuedAt)
      return {
        waiting: knocks.length + all.reduce((sum, { rows }) => sum + rows.length, 0),
        failing: all.filter(({ attempts }) => attempts > 0).length,
        oldestAge: oldest.reduce((age, queuedAt) => Math.max(age, now - queuedAt), 0),
      }
    },
  }
}

function addRow(destinations: Destinations, server: ServerName, { event, queuedAt }: Waiting, now: number): void {
  const row = { event, queuedAt }
  const known = destinations.get(server)
  if (known !== undefined) known.rows.push(row)
  else {
    const unfailed = { attempts: 0, notBefore: undefined, reason: undefined, transaction: undefined }
    destinations.set(server, { rows: [row], dueAt: now, ...unfailed })
  }
}

/** What is sent next, and what became of it. */
function createTransactions(
  destinations: Destinations,
  clock: Clock,
): Pick<Outbox, 'claim' | 'nextDue' | 'delivered' | 'failed' | 'release' | 'drop'> {
  /** The transaction of each claim. */
  const claims = new Map<ServerName, string>()

  const give = (server: ServerName, found: Destination, now: number): OutgoingTransaction => {
    const { rows, attempts } = found
    found.transaction ??= { txnId: newTransactionId(), startedAt: now, size: Math.min(rows.length, MAX_PDUS) }
    const { txnId, startedAt, size } = found.transaction
    claims.set(server, txnId)
    const events = rows.slice(0, size).map(({ event }) => event)
    return { destination: server, txnId, startedAt, attempts, oldestAt: rows[0]?.queuedAt ?? now, events }
  }
  /** @returns the destination, unless the transaction is no longer its next one */
  const endClaim = (server: ServerName, txnId: string): Destination | undefined => {
    if (claims.get(server) === txnId) claims.delete(server)
    const found = destinations.get(server)
    return found?.transaction?.txnId === txnId ? found : undefined
  }

  return {
    async claim(now, limit, failing = limit) {
      const due = [...destinations]
        .filter(([server, { dueAt }]) => dueAt <= now && !claims.has(server))
        .sort(([, left], [, right]) => left.dueAt - right.dueAt)
      const unfailed = due.filter(([, { attempts }]) => attempts === 0).slice(0, limit)
      const failed = due.filter(([, { attempts }]) => attempts > 0).slice(0, Math.min(failing, limit - unfailed.length))
      return [...unfailed, ...failed].map(([server, found]) => give(server, found, now))
    },
    async nextDue() {
      let next: number | undefined
      for (const [server, { dueAt }] of destinations) {
        if (!claims.has(server)) next = Math.min(next ?? dueAt, dueAt)
      }
      return next
    },
    async delivered(destination, txnId) {
      const found = endClaim(destination, txnId)
      if (found === undefined) return
      found.rows.splice(0, found.transaction?.size)
      if (found.rows.length === 0) destinations.delete(destination)
      else {
        Object.assign(found, {
          transaction: undefined,
          attempts: 0,
          notBefore: undefined,
          reason: undefined,
          dueAt: clock(),
        })
      }
    },
    async failed(destination, txnId, { retryAt, notBefore, reason }) {
      const found = endClaim(destination, txnId)
      if (found !== undefined) Object.assign(found, { attempts: found.attempts + 1, dueAt: retryAt, notBefore, reason })
    },
    async release(destination, txnId) {
      endClaim(destination, txnId)
    },
    async drop(destination, before = Number.POSITIVE_INFINITY) {
      const found = destinations.get(destination)
      if (found === undefined) return 0
      const stays = ({ queuedAt }: Waiting) => queuedAt >= before
      const kept = found.rows.filter(stays)
      const dropped = found.rows.length - kept.length
      if (!found.rows.slice(0, found.transaction?.size).every(stays)) found.transaction = undefined
      found.rows = kept
      if (kept.length === 0) destinations.delete(destination)
      return dropped
    },
  }
}

/** Who waits, and for how long. */
function createWaits(
  destinations: Destinations,
  clock: Clock,
): Pick<Outbox, 'resume' | 'boundWaits' | 'listDeliveries' | 'retry'> {
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
    async listDeliveries(after, limit) {
      const names = [...destinations.keys()].filter((name) => after === undefined || name > after).sort()
      return names.slice(0, limit).flatMap((destination) => {
        const found = destinations.get(destination)
        if (found === undefined) return []
        const { rows, attempts, dueAt, reason } = found
        return { destination, waiting: rows.length, attempts, dueAt, oldestAt: rows[0]?.queuedAt ?? dueAt, reason }
      })
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
