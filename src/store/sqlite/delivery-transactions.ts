/**
 * Transactions as rows: what goes to a destination next stays the same until it arrives, is refused or is dropped.
 * https://spec.matrix.org/latest/server-server-api/#transactions
 */
import {
  MAX_PDUS,
  mostPdus,
  newTransactionId,
  SLOW_MS,
  suspectsAfter,
  transactionLength,
} from '../outgoing-transaction.ts'
import type { Database } from './database.ts'
import type { Handlers, TransactionRow } from './writer-jobs.ts'

/** Events that one transaction of the writer drops. */
const DROPPED_EVENTS = 1_000
const FOREVER = Number.MAX_SAFE_INTEGER

interface DestinationRow {
  readonly attempts: number
  readonly slow: number
  readonly suspects: number | null
  readonly refusals: number
  readonly txnId: string | null
  readonly txnAt: number | null
  readonly txnLast: number | null
}

interface DeliveryRow {
  readonly event: number
  readonly queuedAt: number
  readonly bytes: number
}

type Outcomes = Pick<Handlers, 'assign' | 'delivered' | 'deliveryFailed' | 'halve' | 'drop' | 'dropEvent'>

export function createDeliveryTransactions(db: Database): Outcomes {
  const read = db.prepare(`
    SELECT attempts, slow, suspects, refusals, txn_id AS txnId, txn_at AS txnAt, txn_last AS txnLast
    FROM destinations WHERE destination = ?`)
  const rows: Rows = {
    destination: (name) => read.get(name) as DestinationRow | undefined,
    forget: prepareForgetting(db),
    end: prepareEnding(db),
  }
  return {
    assign: prepareAssignment(db, rows),
    ...prepareAnswers(db, rows),
    ...prepareRemoval(db, rows),
  }
}

/** What several of the handlers do with the rows of a destination. */
interface Rows {
  destination(name: string): DestinationRow | undefined
  /** Counts events out of a destination, and removes it with the last. @returns whether some are left */
  forget(name: string, events: number): boolean
  /** What is left goes out under another id. */
  end(name: string): void
}

function prepareForgetting(db: Database): Rows['forget'] {
  const oldest = db.prepare('SELECT queued_at AS queuedAt FROM deliveries WHERE destination = ? ORDER BY event LIMIT 1')
  const count = db.prepare('UPDATE destinations SET waiting = waiting - ?, oldest_at = ? WHERE destination = ?')
  const remove = db.prepare('DELETE FROM destinations WHERE destination = ?')
  return (name, events) => {
    const next = oldest.get(name) as Pick<DeliveryRow, 'queuedAt'> | undefined
    if (next === undefined) remove.run(name)
    else count.run(events, next.queuedAt, name)
    return next !== undefined
  }
}

function prepareEnding(db: Database): Rows['end'] {
  const end = db.prepare(
    'UPDATE destinations SET txn_id = NULL, txn_at = NULL, txn_last = NULL, refusals = 0 WHERE destination = ?',
  )
  return (name) => void end.run(name)
}

function prepareAssignment(db: Database, { destination: find }: Rows): Handlers['assign'] {
  const head = db.prepare(`
    SELECT v.event, v.queued_at AS queuedAt, coalesce(octet_length(e.json), 0) AS bytes
    FROM deliveries v LEFT JOIN events e ON e.event = v.event
    WHERE v.destination = ? AND v.event <= ? ORDER BY v.event LIMIT ${MAX_PDUS}`)
  const give = db.prepare('UPDATE destinations SET txn_id = ?, txn_at = ?, txn_last = ? WHERE destination = ?')

  const assignOne = (destination: string, now: number): TransactionRow | undefined => {
    const row = find(destination)
    if (row === undefined) return undefined
    const { attempts, slow, refusals } = row
    const found = head.all(destination, row.txnLast ?? FOREVER) as unknown as readonly DeliveryRow[]
    const sizes = found.map(({ bytes }) => bytes)
    const length = row.txnId === null ? transactionLength(sizes, mostPdus(row.suspects)) : found.length
    const events = found.slice(0, length).map(({ event }) => event)
    const txnId = row.txnId ?? newTransactionId()
    const startedAt = row.txnAt ?? now
    if (row.txnId === null) give.run(txnId, startedAt, events.at(-1) ?? 0, destination)
    const oldestAt = found[0]?.queuedAt ?? now
    return { destination, txnId, startedAt, attempts, slow: slow > 0, refusals, oldestAt, events }
  }
  return ({ now, destinations }) => destinations.flatMap((destination) => assignOne(destination, now) ?? [])
}

function prepareAnswers(
  db: Database,
  { destination: find, forget, end }: Rows,
): Pick<Handlers, 'delivered' | 'deliveryFailed' | 'halve'> {
  const count = db.prepare('SELECT count(*) AS events FROM deliveries WHERE destination = ? AND event <= ?')
  const remove = db.prepare('DELETE FROM deliveries WHERE destination = ? AND event <= ?')
  const succeed = db.prepare(`
    UPDATE destinations SET attempts = 0, not_before = NULL, reason = NULL, slow = ?, suspects = ?, due_at = ?
    WHERE destination = ?`)
  const halve = db.prepare(
    'UPDATE destinations SET suspects = ?, slow = ?, reason = ?, due_at = ? WHERE destination = ?',
  )
  const fail = db.prepare(`
    UPDATE destinations SET attempts = attempts + 1, due_at = ?1, not_before = ?2, reason = ?3,
      refusals = refusals + ?4, suspects = iif(?4, 1, suspects)
    WHERE destination = ?5 AND txn_id = ?6`)
  const notePace = prepareSlowServers(db)

  return {
    delivered({ now, destination, txnId, pace }) {
      const row = find(destination)
      if (row?.txnId !== txnId) return null
      const events = Number(remove.run(destination, row.txnLast).changes)
      notePace(destination, pace, now)
      if (!forget(destination, events)) return null
      succeed.run(pace === 'slow' ? 1 : 0, suspectsAfter(row.suspects, events), now, destination)
      end(destination)
      return null
    },
    deliveryFailed({ destination, txnId, failure: { retryAt, notBefore, reason, refused } }) {
      fail.run(retryAt, notBefore ?? null, reason, refused ? 1 : 0, destination, txnId)
      return null
    },
    halve({ now, destination, txnId, reason, pace }) {
      const row = find(destination)
      if (row?.txnId !== txnId) return null
      const { events } = count.get(destination, row.txnLast) as { events: number }
      notePace(destination, pace, now)
      halve.run(events, pace === 'slow' ? 1 : 0, reason, now, destination)
      end(destination)
      return null
    },
  }
}

/** Who answers slowly is known also while nothing waits for it. */
function prepareSlowServers(db: Database): (server: string, pace: 'quick' | 'slow', now: number) => void {
  const note = db.prepare('INSERT OR REPLACE INTO slow_servers (server, noted_at) VALUES (?, ?)')
  const remove = db.prepare('DELETE FROM slow_servers WHERE server = ?')
  const forget = db.prepare('DELETE FROM slow_servers WHERE noted_at < ?')
  return (server, pace, now) => {
    if (pace === 'quick') remove.run(server)
    else {
      note.run(server, now)
      forget.run(now - SLOW_MS)
    }
  }
}

function prepareRemoval(db: Database, { destination: find, forget, end }: Rows): Pick<Handlers, 'drop' | 'dropEvent'> {
  const removeOld = db.prepare(`
    DELETE FROM deliveries WHERE (destination, event) IN (
      SELECT destination, event FROM deliveries WHERE destination = ? AND queued_at < ?
      ORDER BY event LIMIT ${DROPPED_EVENTS})
    RETURNING event`)
  const removeOne = db.prepare(`
    DELETE FROM deliveries WHERE (destination, event) IN (
      SELECT v.destination, v.event FROM deliveries v JOIN events e ON e.event = v.event
      WHERE v.destination = ? AND e.event_id = ?)
    RETURNING event`)

  /** @returns whether some are left */
  const removed = (destination: string, rows: readonly { event: number }[]): boolean => {
    const txnLast = find(destination)?.txnLast ?? 0
    if (rows.some(({ event }) => event <= txnLast)) end(destination)
    return rows.length > 0 && forget(destination, rows.length)
  }
  return {
    drop({ destination, before }) {
      const rows = removeOld.all(destination, before) as { event: number }[]
      const left = removed(destination, rows)
      return { dropped: rows.length, more: left && rows.length === DROPPED_EVENTS }
    },
    dropEvent({ destination, eventId }) {
      const rows = removeOne.all(destination, eventId) as { event: number }[]
      removed(destination, rows)
      return rows.length > 0
    },
  }
}
