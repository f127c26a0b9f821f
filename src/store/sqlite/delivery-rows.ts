/**
 * The outbox as rows: one per accepted knock, turned into one per destination in chunks, and transactions that stay
 * the same until they are delivered. https://spec.matrix.org/latest/server-server-api/#transactions
 */
import { randomUUID } from 'node:crypto'
import type { Database } from './connection.ts'
import type { Handlers } from './jobs.ts'

/** Servers that one transaction of the writer turns into rows. */
const CHUNK_SERVERS = 200
/** PDUs of one transaction. https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1sendtxnid */
const MAX_PDUS = 50

interface OutboxRow {
  readonly event: number
  readonly snapshot: number
  readonly skipServers: string
  readonly lastServer: string
  readonly queuedAt: number
}

interface DestinationRow {
  readonly attempts: number
  readonly txnId: string | null
  readonly txnLast: number | null
}

export function createDeliveryWriter(
  db: Database,
): Pick<Handlers, 'expand' | 'transactionFor' | 'delivered' | 'deliveryFailed'> {
  return { expand: prepareExpansion(db), ...prepareTransactions(db) }
}

function prepareExpansion(db: Database): Handlers['expand'] {
  // A snapshot that is gone after the kept history leaves the servers of the one in use.
  const nextKnock = db.prepare(`
    SELECT o.event, o.skip_servers AS skipServers, o.last_server AS lastServer, o.queued_at AS queuedAt,
      CASE WHEN s.phase IN ('current', 'former') THEN o.snapshot ELSE r.snapshot END AS snapshot
    FROM outbox o JOIN events e ON e.event = o.event JOIN rooms r ON r.room = e.room
      LEFT JOIN snapshots s ON s.snapshot = o.snapshot
    ORDER BY o.event LIMIT 1`)
  const servers = db.prepare(
    'SELECT server FROM joined_servers WHERE snapshot = ? AND server > ? ORDER BY server LIMIT ?',
  )
  const addDelivery = db.prepare(`
    INSERT INTO deliveries (destination, event, queued_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`)
  const addDestination = db.prepare(`
    INSERT INTO destinations (destination, due_at, waiting, oldest_at) VALUES (?, ?, 1, ?)
    ON CONFLICT (destination) DO UPDATE SET waiting = waiting + 1`)
  const proceed = db.prepare('UPDATE outbox SET last_server = ? WHERE event = ?')
  const finish = db.prepare('DELETE FROM outbox WHERE event = ?')

  /** Turns one knock into at most `budget` rows; how much of the budget is left. */
  const expandOne = (knock: OutboxRow, now: number, budget: number): number => {
    const skip = new Set(JSON.parse(knock.skipServers) as string[])
    const chunk = servers.all(knock.snapshot, knock.lastServer, budget) as { server: string }[]
    for (const { server } of chunk) {
      if (skip.has(server) || Number(addDelivery.run(server, knock.event, knock.queuedAt).changes) === 0) continue
      addDestination.run(server, now, knock.queuedAt)
    }
    const last = chunk[budget - 1]
    if (last === undefined) finish.run(knock.event)
    else proceed.run(last.server, knock.event)
    return budget - Math.max(chunk.length, 1)
  }

  return ({ now }) => {
    let budget = CHUNK_SERVERS
    while (budget > 0) {
      const knock = nextKnock.get() as OutboxRow | undefined
      if (knock === undefined) return false
      budget = expandOne(knock, now, budget)
    }
    return nextKnock.get() !== undefined
  }
}

function prepareTransactions(db: Database): Pick<Handlers, 'transactionFor' | 'delivered' | 'deliveryFailed'> {
  const read = db.prepare(
    'SELECT attempts, txn_id AS txnId, txn_last AS txnLast FROM destinations WHERE destination = ?',
  )
  const rows = db.prepare(`
    SELECT event FROM deliveries WHERE destination = ? AND event <= ? ORDER BY event LIMIT ${MAX_PDUS}`)
  const assign = db.prepare('UPDATE destinations SET txn_id = ?, txn_last = ? WHERE destination = ?')
  const removeRows = db.prepare('DELETE FROM deliveries WHERE destination = ? AND event <= ?')
  const oldest = db.prepare('SELECT queued_at AS queuedAt FROM deliveries WHERE destination = ? ORDER BY event LIMIT 1')
  const clear = db.prepare(`
    UPDATE destinations SET txn_id = NULL, txn_last = NULL, attempts = 0, reason = NULL, due_at = ?, oldest_at = ?,
      waiting = waiting - ? WHERE destination = ?`)
  const removeDestination = db.prepare('DELETE FROM destinations WHERE destination = ?')
  const fail = db.prepare(`
    UPDATE destinations SET attempts = attempts + 1, due_at = ?, reason = ? WHERE destination = ? AND txn_id = ?`)

  return {
    transactionFor({ destination }) {
      const row = read.get(destination) as DestinationRow | undefined
      if (row === undefined) return undefined
      const found = rows.all(destination, row.txnLast ?? Number.MAX_SAFE_INTEGER) as { event: number }[]
      const events = found.map(({ event }) => event)
      const txnId = row.txnId ?? newTransactionId()
      if (row.txnId === null) assign.run(txnId, events.at(-1) ?? 0, destination)
      return { txnId, attempts: row.attempts, events }
    },
    delivered({ now, destination, txnId }) {
      const row = read.get(destination) as DestinationRow | undefined
      if (row?.txnId !== txnId) return null
      const { changes } = removeRows.run(destination, row.txnLast)
      const next = oldest.get(destination) as { queuedAt: number } | undefined
      if (next === undefined) removeDestination.run(destination)
      else clear.run(now, next.queuedAt, changes, destination)
      return null
    },
    deliveryFailed({ destination, txnId, retryAt, reason }) {
      fail.run(retryAt, reason, destination, txnId)
      return null
    },
  }
}

/** Homeservers count milliseconds or small numbers; the prefix keeps ours apart from those of the one next door. */
function newTransactionId(): string {
  return `mk${randomUUID().replaceAll('-', '')}`
}
