/**
 * Transactions as rows: what goes to a destination next stays the same until it arrives or is dropped.
 * https://spec.matrix.org/latest/server-server-api/#transactions
 */
import { MAX_PDUS, newTransactionId } from '../outgoing-transaction.ts'
import type { Database } from './database.ts'
import type { Handlers, TransactionRow } from './jobs.ts'

/** Events that one transaction of the writer drops. */
const DROPPED_EVENTS = 1_000

interface DestinationRow {
  readonly attempts: number
  readonly txnId: string | null
  readonly txnAt: number | null
  readonly txnLast: number | null
}

interface DeliveryRow {
  readonly event: number
  readonly queuedAt: number
}

export function createDeliveryTransactions(
  db: Database,
): Pick<Handlers, 'assign' | 'delivered' | 'deliveryFailed' | 'drop'> {
  const read = db.prepare(`
    SELECT attempts, txn_id AS txnId, txn_at AS txnAt, txn_last AS txnLast FROM destinations WHERE destination = ?`)
  const destinationRow = (destination: string) => read.get(destination) as DestinationRow | undefined
  const forgetRows = prepareForgetting(db)
  const fail = db.prepare(`
    UPDATE destinations SET attempts = attempts + 1, due_at = ?, not_before = ?, reason = ?
    WHERE destination = ? AND txn_id = ?`)

  return {
    assign: prepareAssignment(db, destinationRow),
    ...prepareRemoval(db, destinationRow, forgetRows),
    deliveryFailed({ destination, txnId, failure: { retryAt, notBefore, reason } }) {
      fail.run(retryAt, notBefore ?? null, reason, destination, txnId)
      return null
    },
  }
}

function prepareAssignment(
  db: Database,
  destinationRow: (destination: string) => DestinationRow | undefined,
): Handlers['assign'] {
  const rows = db.prepare(`
    SELECT event, queued_at AS queuedAt FROM deliveries
    WHERE destination = ? AND event <= ? ORDER BY event LIMIT ${MAX_PDUS}`)
  const give = db.prepare('UPDATE destinations SET txn_id = ?, txn_at = ?, txn_last = ? WHERE destination = ?')

  const assignOne = (destination: string, now: number): TransactionRow | undefined => {
    const row = destinationRow(destination)
    if (row === undefined) return undefined
    const found = rows.all(destination, row.txnLast ?? Number.MAX_SAFE_INTEGER) as unknown as readonly DeliveryRow[]
    const events = found.map(({ event }) => event)
    const txnId = row.txnId ?? newTransactionId()
    const startedAt = row.txnAt ?? now
    if (row.txnId === null) give.run(txnId, startedAt, events.at(-1) ?? 0, destination)
    return { destination, txnId, startedAt, attempts: row.attempts, oldestAt: found[0]?.queuedAt ?? now, events }
  }
  return ({ now, destinations }) => destinations.flatMap((destination) => assignOne(destination, now) ?? [])
}

/** Counts rows out of a destination, and removes it with the last. @returns whether some are left */
function prepareForgetting(db: Database): (destination: string, rows: number) => boolean {
  const oldest = db.prepare('SELECT queued_at AS queuedAt FROM deliveries WHERE destination = ? ORDER BY event LIMIT 1')
  const count = db.prepare('UPDATE destinations SET waiting = waiting - ?, oldest_at = ? WHERE destination = ?')
  const remove = db.prepare('DELETE FROM destinations WHERE destination = ?')
  return (destination, rows) => {
    const next = oldest.get(destination) as Pick<DeliveryRow, 'queuedAt'> | undefined
    if (next === undefined) remove.run(destination)
    else count.run(rows, next.queuedAt, destination)
    return next !== undefined
  }
}

function prepareRemoval(
  db: Database,
  destinationRow: (destination: string) => DestinationRow | undefined,
  forgetRows: (destination: string, rows: number) => boolean,
): Pick<Handlers, 'delivered' | 'drop'> {
  const removeDelivered = db.prepare('DELETE FROM deliveries WHERE destination = ? AND event <= ?')
  const succeed = db.prepare(
    'UPDATE destinations SET attempts = 0, not_before = NULL, reason = NULL, due_at = ? WHERE destination = ?',
  )
  const endTransaction = db.prepare(
    'UPDATE destinations SET txn_id = NULL, txn_at = NULL, txn_last = NULL WHERE destination = ?',
  )
  const removeOld = db.prepare(`
    DELETE FROM deliveries WHERE (destination, event) IN (
      SELECT destination, event FROM deliveries WHERE destination = ? AND queued_at < ?
      ORDER BY event LIMIT ${DROPPED_EVENTS})
    RETURNING event`)

  return {
    delivered({ now, destination, txnId }) {
      const row = destinationRow(destination)
      if (row?.txnId !== txnId) return null
      const { changes } = removeDelivered.run(destination, row.txnLast)
      if (!forgetRows(destination, Number(changes))) return null
      succeed.run(now, destination)
      endTransaction.run(destination)
      return null
    },
    drop({ destination, before }) {
      const removed = removeOld.all(destination, before) as { event: number }[]
      const txnLast = destinationRow(destination)?.txnLast ?? 0
      if (removed.some(({ event }) => event <= txnLast)) endTransaction.run(destination)
      const left = removed.length > 0 && forgetRows(destination, removed.length)
      return { dropped: removed.length, more: left && removed.length === DROPPED_EVENTS }
    },
  }
}
