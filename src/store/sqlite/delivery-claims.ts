/**
 * Claims on destinations, kept in this process's memory: one service delivers from a file, and what it held is free when
 * it ends. https://spec.matrix.org/latest/server-server-api/#transactions
 */

import type { DeliveryQueue, OutgoingTransaction } from '../../knock/delivery-ports.ts'
import type { Clock } from '../../knock/ports.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import type { Database } from './database.ts'
import type { EventReader } from './event-reader.ts'
import type { TransactionRow } from './jobs.ts'
import type { WriterClient } from './writer-client.ts'

const FOREVER = Number.MAX_SAFE_INTEGER

interface DueRow {
  readonly destination: ServerName
  readonly dueAt: number
}

export function createDeliveryClaims(
  db: Database,
  events: EventReader,
  writer: WriterClient,
  clock: Clock,
): Pick<DeliveryQueue, 'claim' | 'nextDue' | 'delivered' | 'failed' | 'release'> {
  const due = db.prepare(`
    SELECT destination, due_at AS dueAt FROM destinations
    WHERE (attempts > 0) = ? AND due_at <= ? ORDER BY due_at LIMIT ?`)
  /** Whom each claim sends what; undefined while its transaction is being looked up. */
  const claims = new Map<ServerName, string | undefined>()

  /** Those that are claimed can all be among the first. */
  const unclaimed = (failing: 0 | 1, now: number, limit: number): readonly DueRow[] =>
    (due.all(failing, now, limit + claims.size) as unknown as DueRow[])
      .filter(({ destination }) => !claims.has(destination))
      .slice(0, limit)
  const endClaim = (destination: ServerName, txnId: string) => {
    if (claims.get(destination) === txnId) claims.delete(destination)
  }
  const outgoing = (row: TransactionRow): OutgoingTransaction => ({
    ...row,
    destination: row.destination as ServerName,
    events: row.events.flatMap((event) => events(event) ?? []),
  })

  return {
    async claim(now, limit, failing = limit) {
      const unfailed = unclaimed(0, now, limit)
      const failed = unclaimed(1, now, Math.min(failing, limit - unfailed.length))
      const destinations = [...unfailed, ...failed].map(({ destination }) => destination)
      if (destinations.length === 0) return []
      for (const destination of destinations) claims.set(destination, undefined)
      const result = await writer.run('assign', { now, destinations })
      // In one go: between an end of these claims and their new beginning another worker would take them.
      for (const destination of destinations) claims.delete(destination)
      if (!result.ok) throw new Error(`the store could not write: ${result.reason}`)
      const transactions = result.output.map(outgoing)
      for (const { destination, txnId } of transactions) claims.set(destination, txnId)
      return transactions
    },
    async nextDue() {
      const [next] = [...unclaimed(0, FOREVER, 1), ...unclaimed(1, FOREVER, 1)].sort((a, b) => a.dueAt - b.dueAt)
      return next?.dueAt
    },
    async delivered(destination, txnId) {
      await writer.demand('delivered', { now: clock(), destination, txnId })
      endClaim(destination, txnId)
    },
    async failed(destination, txnId, failure) {
      await writer.demand('deliveryFailed', { destination, txnId, failure })
      endClaim(destination, txnId)
    },
    release: async (destination, txnId) => endClaim(destination, txnId),
  }
}
