/**
 * Claims on destinations, kept in this process's memory: one service delivers from a file, and what it held is free when
 * it ends. https://spec.matrix.org/latest/server-server-api/#transactions
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { DeliveryQueue, OutgoingTransaction } from '../../knock/ports/deliveries.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import type { Database } from './database.ts'
import { LAGS } from './delivery-waits.ts'
import { createOutgoingEvents } from './outgoing-events.ts'
import type { WriterClient } from './writer-client.ts'
import type { TransactionRow } from './writer-jobs.ts'

const FOREVER = Number.MAX_SAFE_INTEGER

interface DueRow {
  readonly destination: ServerName
  readonly dueAt: number
}

export function createDeliveryClaims(
  db: Database,
  writer: WriterClient,
  clock: Clock,
): Pick<DeliveryQueue, 'claim' | 'nextDue' | 'delivered' | 'failed' | 'halve' | 'release'> {
  const due = db.prepare(`
    SELECT destination, due_at AS dueAt FROM destinations
    WHERE ${LAGS} = ? AND due_at <= ? ORDER BY due_at LIMIT ?`)
  const events = createOutgoingEvents(db)
  /** Whom each claim sends what; undefined while its transaction is being looked up. */
  const claims = new Map<ServerName, string | undefined>()

  /** Those that are claimed can all be among the first. */
  const unclaimed = (lagging: 0 | 1, now: number, limit: number): readonly DueRow[] =>
    (due.all(lagging, now, limit + claims.size) as unknown as DueRow[])
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
    async claim(now, limit, lagging = limit) {
      const prompt = unclaimed(0, now, limit)
      const laggards = unclaimed(1, now, Math.min(lagging, limit - prompt.length))
      const destinations = [...prompt, ...laggards].map(({ destination }) => destination)
      if (destinations.length === 0) return []
      for (const destination of destinations) claims.set(destination, undefined)
      const result = await writer.run('assign', { now, destinations })
      // In one go: between an end of these claims and their new beginning another worker would take them.
      for (const destination of destinations) claims.delete(destination)
      if (!result.ok) throw new Error(`the store could not write: ${result.reason}`)
      for (const { destination, txnId } of result.output) claims.set(destination as ServerName, txnId)
      try {
        const transactions: OutgoingTransaction[] = []
        for (const row of result.output) {
          transactions.push(outgoing(row))
          // Each can bring half a megabyte: between two of them requests get their turn.
          await turn()
        }
        return transactions
      } catch (error) {
        for (const { destination, txnId } of result.output) endClaim(destination as ServerName, txnId)
        throw error
      }
    },
    async nextDue() {
      const [next] = [...unclaimed(0, FOREVER, 1), ...unclaimed(1, FOREVER, 1)].sort((a, b) => a.dueAt - b.dueAt)
      return next?.dueAt
    },
    async delivered(destination, txnId, pace = 'quick') {
      await writer.demand('delivered', { now: clock(), destination, txnId, pace })
      endClaim(destination, txnId)
    },
    async failed(destination, txnId, failure) {
      await writer.demand('deliveryFailed', { destination, txnId, failure })
      endClaim(destination, txnId)
    },
    async halve(destination, txnId, reason, pace = 'quick') {
      await writer.demand('halve', { now: clock(), destination, txnId, reason, pace })
      endClaim(destination, txnId)
    },
    async release(destination, txnId, dueAt) {
      if (dueAt !== undefined) await writer.demand('postpone', { destination, txnId, dueAt })
      endClaim(destination, txnId)
    },
  }
}
