/** The durable outbox as the delivery worker sees it. https://spec.matrix.org/latest/server-server-api/#transactions */
import type { Clock, DeliveryQueue } from '../../knock/ports.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import type { Database } from './connection.ts'
import type { EventReader } from './event-reader.ts'
import type { WriterClient } from './writer-client.ts'

/** Rows of the outbox that the metrics count one by one. */
const COUNTED_OUTBOX = 10_000

interface DepthRow {
  readonly waiting: number | null
  readonly failing: number | null
  readonly oldestAt: number | null
}

export function createDeliveryQueue(
  db: Database,
  events: EventReader,
  writer: WriterClient,
  clock: Clock,
): Omit<DeliveryQueue, 'onEnqueued'> {
  const due = db.prepare('SELECT destination FROM destinations WHERE due_at <= ? ORDER BY due_at LIMIT ?')
  const nextDue = db.prepare('SELECT min(due_at) AS dueAt FROM destinations')
  const depth = db.prepare(
    'SELECT sum(waiting) AS waiting, sum(attempts > 0) AS failing, min(oldest_at) AS oldestAt FROM destinations',
  )
  const outbox = db.prepare(`
    SELECT count(*) AS waiting, min(queued_at) AS oldestAt
    FROM (SELECT queued_at FROM outbox ORDER BY event LIMIT ${COUNTED_OUTBOX})`)
  return {
    expand: () => writer.demand('expand', { now: clock() }),
    async due(now, limit) {
      return (due.all(now, limit) as { destination: ServerName }[]).map(({ destination }) => destination)
    },
    async nextDue() {
      return (nextDue.get() as { dueAt: number | null }).dueAt ?? undefined
    },
    async transactionFor(destination) {
      const found = await writer.demand('transactionFor', { destination })
      return found && { destination, ...found, events: found.events.flatMap((row) => events(row) ?? []) }
    },
    async delivered(destination, txnId) {
      await writer.demand('delivered', { now: clock(), destination, txnId })
    },
    async failed(destination, txnId, retryAt, reason) {
      await writer.demand('deliveryFailed', { destination, txnId, retryAt, reason })
    },
    async depth(now) {
      const rows = depth.get() as DepthRow
      const knocks = outbox.get() as Pick<DepthRow, 'waiting' | 'oldestAt'>
      const oldestAt = Math.min(rows.oldestAt ?? now, knocks.oldestAt ?? now)
      return {
        waiting: (rows.waiting ?? 0) + (knocks.waiting ?? 0),
        failing: rows.failing ?? 0,
        oldestAge: Math.max(0, now - oldestAt),
      }
    },
  }
}
