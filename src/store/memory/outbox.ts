/** The outbox in memory: the same order and the same transactions as on disk, for as long as the process lives. */
import { randomUUID } from 'node:crypto'
import type { Clock, DeliveryQueue } from '../../knock/ports.ts'
import type { RoomEvent } from '../../matrix/event.ts'
import type { ServerName } from '../../matrix/identifiers.ts'

const CHUNK_SERVERS = 200
const MAX_PDUS = 50

interface Waiting {
  readonly event: RoomEvent
  readonly queuedAt: number
}

interface Enqueued extends Waiting {
  /** Joined servers that have no row yet. */
  readonly servers: ServerName[]
}

interface Destination {
  readonly rows: Waiting[]
  dueAt: number
  attempts: number
  transaction: { readonly txnId: string; readonly size: number } | undefined
}

export interface Outbox extends DeliveryQueue {
  enqueue(event: RoomEvent, servers: readonly ServerName[]): void
}

export function createOutbox(clock: Clock): Outbox {
  const knocks: Enqueued[] = []
  const destinations = new Map<ServerName, Destination>()
  const listeners: (() => void)[] = []

  const addRow = (server: ServerName, { event, queuedAt }: Waiting) => {
    const destination = destinations.get(server)
    if (destination !== undefined) destination.rows.push({ event, queuedAt })
    else {
      const rows = [{ event, queuedAt }]
      destinations.set(server, { rows, dueAt: clock(), attempts: 0, transaction: undefined })
    }
  }
  const ofTransaction = (server: ServerName, txnId: string) => {
    const destination = destinations.get(server)
    return destination?.transaction?.txnId === txnId ? destination : undefined
  }

  return {
    enqueue(event, servers) {
      knocks.push({ event, queuedAt: clock(), servers: [...servers] })
      for (const listener of listeners) listener()
    },
    onEnqueued: (listener) => listeners.push(listener),
    async expand() {
      for (let budget = CHUNK_SERVERS; budget > 0; ) {
        const knock = knocks[0]
        if (knock === undefined) return false
        const chunk = knock.servers.splice(0, budget)
        for (const server of chunk) addRow(server, knock)
        if (knock.servers.length === 0) knocks.shift()
        budget -= Math.max(chunk.length, 1)
      }
      return knocks.length > 0
    },
    async due(now, limit) {
      return [...destinations]
        .filter(([, { dueAt }]) => dueAt <= now)
        .sort(([, left], [, right]) => left.dueAt - right.dueAt)
        .slice(0, limit)
        .map(([server]) => server)
    },
    async nextDue() {
      let next: number | undefined
      for (const { dueAt } of destinations.values()) next = Math.min(next ?? dueAt, dueAt)
      return next
    },
    async transactionFor(destination) {
      const found = destinations.get(destination)
      if (found === undefined) return undefined
      found.transaction ??= { txnId: newTransactionId(), size: Math.min(found.rows.length, MAX_PDUS) }
      const events = found.rows.slice(0, found.transaction.size).map(({ event }) => event)
      return { destination, txnId: found.transaction.txnId, attempts: found.attempts, events }
    },
    async delivered(destination, txnId) {
      const found = ofTransaction(destination, txnId)
      if (found === undefined) return
      found.rows.splice(0, found.transaction?.size)
      if (found.rows.length === 0) destinations.delete(destination)
      else Object.assign(found, { transaction: undefined, attempts: 0, dueAt: clock() })
    },
    async failed(destination, txnId, retryAt) {
      const found = ofTransaction(destination, txnId)
      if (found === undefined) return
      found.attempts++
      found.dueAt = retryAt
    },
    async depth(now) {
      const all = [...destinations.values()]
      const oldest = [...knocks, ...all.flatMap(({ rows }) => rows[0] ?? [])].map(({ queuedAt }) => queuedAt)
      return {
        waiting: knocks.length + all.reduce((sum, { rows }) => sum + rows.length, 0),
        failing: all.filter(({ attempts }) => attempts > 0).length,
        oldestAge: Math.max(0, ...oldest.map((queuedAt) => now - queuedAt)),
      }
    },
  }
}

function newTransactionId(): string {
  return `mk${randomUUID().replaceAll('-', '')}`
}
