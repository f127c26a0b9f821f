/** What goes out next to each destination, in memory, and what became of it. */
import type { DeliveryQueue, OutgoingEvent, OutgoingTransaction, Pace } from '../../../src/knock/ports/deliveries.ts'
import type { Clock } from '../../../src/knock/ports/rooms.ts'
import type { RoomId, ServerName } from '../../../src/matrix/identifiers.ts'
import {
  MAX_PDUS,
  mostPdus,
  newTransactionId,
  SLOW_MS,
  suspectsAfter,
  transactionLength,
} from '../../../src/store/outgoing-transaction.ts'

export interface Waiting {
  readonly event: OutgoingEvent
  readonly roomId: RoomId
  /** Greater than that of every event that was accepted before. */
  readonly place: number
  readonly queuedAt: number
}

export interface Destination {
  rows: Waiting[]
  dueAt: number
  attempts: number
  slow: boolean
  /** So many events at the head of the line were refused together. */
  suspects: number | null
  /** Of the one event of the transaction. */
  refusals: number
  /** What the destination asked for at the last failure. */
  notBefore: number | undefined
  reason: string | undefined
  transaction: { readonly txnId: string; readonly startedAt: number; readonly size: number } | undefined
}

export interface Destinations {
  readonly waiting: Map<ServerName, Destination>
  /** Who answered slowly, and when: known also while nothing waits. */
  readonly slow: Map<ServerName, number>
}

type Transactions = Pick<
  DeliveryQueue,
  'claim' | 'nextDue' | 'delivered' | 'failed' | 'halve' | 'release' | 'drop' | 'dropEvent'
>

export function addRow({ waiting, slow }: Destinations, server: ServerName, row: Waiting, now: number): void {
  const known = waiting.get(server)
  if (known !== undefined) known.rows.push(row)
  else {
    const unfailed = { attempts: 0, suspects: null, refusals: 0 }
    const empty = { notBefore: undefined, reason: undefined, transaction: undefined }
    waiting.set(server, { rows: [row], dueAt: now, slow: slow.has(server), ...unfailed, ...empty })
  }
}

export function createTransactions(destinations: Destinations, clock: Clock): Transactions {
  const { waiting } = destinations
  /** The transaction of each claim. */
  const claims = new Map<ServerName, string>()

  /** @returns the destination, unless the transaction is no longer its next one */
  const endClaim = (server: ServerName, txnId: string): Destination | undefined => {
    if (claims.get(server) === txnId) claims.delete(server)
    const found = waiting.get(server)
    return found?.transaction?.txnId === txnId ? found : undefined
  }
  return {
    ...createAnswers(destinations, clock, endClaim),
    ...createRemoval(waiting),
    async claim(now, limit, lagging = limit) {
      const due = [...waiting]
        .filter(([server, { dueAt }]) => dueAt <= now && !claims.has(server))
        .sort(([, left], [, right]) => left.dueAt - right.dueAt)
      const prompt = due.filter(([, found]) => !lags(found)).slice(0, limit)
      const laggards = due.filter(([, found]) => lags(found)).slice(0, Math.min(lagging, limit - prompt.length))
      return [...prompt, ...laggards].map(([server, found]) => {
        const given = give(server, found, now)
        claims.set(server, given.txnId)
        return given
      })
    },
    async nextDue() {
      let next: number | undefined
      for (const [server, { dueAt }] of waiting) {
        if (!claims.has(server)) next = Math.min(next ?? dueAt, dueAt)
      }
      return next
    },
    async release(destination, txnId, dueAt) {
      const found = endClaim(destination, txnId)
      if (found !== undefined && dueAt !== undefined) found.dueAt = dueAt
    },
  }
}

/** Whether the last delivery failed or took long. */
function lags({ attempts, slow }: Destination): boolean {
  return attempts > 0 || slow
}

function give(destination: ServerName, found: Destination, now: number): OutgoingTransaction {
  const { rows, attempts, slow, refusals, suspects } = found
  const sizes = rows.slice(0, MAX_PDUS).map(({ event }) => event.json.length)
  const size = transactionLength(sizes, mostPdus(suspects))
  found.transaction ??= { txnId: newTransactionId(), startedAt: now, size }
  const { txnId, startedAt } = found.transaction
  const events = rows.slice(0, found.transaction.size).map(({ event }) => event)
  return { destination, txnId, startedAt, attempts, slow, refusals, oldestAt: rows[0]?.queuedAt ?? now, events }
}

/** What is left goes out under another id. */
function endTransaction(found: Destination): void {
  found.transaction = undefined
  found.refusals = 0
}

function createAnswers(
  { waiting, slow: slowServers }: Destinations,
  clock: Clock,
  endClaim: (server: ServerName, txnId: string) => Destination | undefined,
): Pick<Transactions, 'delivered' | 'failed' | 'halve'> {
  /** @returns whether it is slow */
  const notePace = (server: ServerName, pace: Pace): boolean => {
    slowServers.delete(server)
    if (pace === 'quick') return false
    slowServers.set(server, clock())
    // In the order of their time.
    for (const [name, notedAt] of slowServers) {
      if (notedAt >= clock() - SLOW_MS) break
      slowServers.delete(name)
    }
    return true
  }
  return {
    async delivered(destination, txnId, pace = 'quick') {
      const found = endClaim(destination, txnId)
      if (found === undefined) return
      const size = found.transaction?.size ?? 0
      found.rows.splice(0, size)
      found.slow = notePace(destination, pace)
      endTransaction(found)
      if (found.rows.length === 0) waiting.delete(destination)
      const suspects = suspectsAfter(found.suspects, size)
      Object.assign(found, { attempts: 0, suspects, notBefore: undefined, reason: undefined, dueAt: clock() })
    },
    async failed(destination, txnId, { retryAt, notBefore, reason, refused }) {
      const found = endClaim(destination, txnId)
      if (found === undefined) return
      Object.assign(found, { attempts: found.attempts + 1, dueAt: retryAt, notBefore, reason })
      if (refused) Object.assign(found, { refusals: found.refusals + 1, suspects: 1 })
    },
    async halve(destination, txnId, reason, pace = 'quick') {
      const found = endClaim(destination, txnId)
      if (found === undefined) return
      const suspects = found.transaction?.size ?? 0
      endTransaction(found)
      Object.assign(found, { suspects, reason, dueAt: clock(), slow: notePace(destination, pace) })
    },
  }
}

function createRemoval(waiting: Destinations['waiting']): Pick<Transactions, 'drop' | 'dropEvent'> {
  /** @returns how many went */
  const remove = (destination: ServerName, goes: (row: Waiting) => boolean): number => {
    const found = waiting.get(destination)
    if (found === undefined) return 0
    const kept = found.rows.filter((row) => !goes(row))
    const dropped = found.rows.length - kept.length
    if (found.rows.slice(0, found.transaction?.size ?? 0).some(goes)) endTransaction(found)
    found.rows = kept
    if (kept.length === 0) waiting.delete(destination)
    return dropped
  }
  return {
    drop: async (destination, before = Number.POSITIVE_INFINITY) =>
      remove(destination, ({ queuedAt }) => queuedAt < before),
    dropEvent: async (destination, eventId) => remove(destination, ({ event }) => event.eventId === eventId) > 0,
  }
}
