/** The durable outbox as the delivery worker and the delivery commands see it. */

import type {
  DeliveryAdministration,
  DeliveryQueue,
  OutgoingEvent,
  WaitingEvent,
} from '../../knock/ports/deliveries.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import type { EventId, RoomId, ServerName } from '../../matrix/identifiers.ts'
import { bytes, text } from './bytea.ts'
import type { ClaimHolder } from './claim-holder.ts'
import type { Database, Statement } from './database.ts'
import { createDeliveryClaims } from './delivery-claims.ts'
import { createExpansion } from './delivery-expansion.ts'
import { LAGS } from './delivery-functions.ts'
import type { RowReader } from './event-reader.ts'

/** Rows of the outbox that the metrics count one by one. */
const COUNTED_OUTBOX = 10_000
/** Events that one transaction drops. */
const DROPPED_EVENTS = 1_000

const DROP: Statement = {
  name: 'delivery-drop',
  text: 'SELECT dropped, some_left AS "someLeft" FROM drop_deliveries($1, $2, $3)',
}
const DROP_EVENT: Statement = { name: 'delivery-drop-event', text: 'SELECT drop_delivery($1, $2) AS dropped' }
const RESUME: Statement = {
  name: 'delivery-resume',
  text: `
    UPDATE destinations d SET due_at = greatest($1, coalesce(d.not_before, 0))
    WHERE d.destination = ANY ($2::bytea[]) AND d.attempts > 0 AND d.due_at > greatest($1, coalesce(d.not_before, 0))
    RETURNING 1 AS resumed`,
}
const BOUND: Statement = {
  name: 'delivery-bound',
  text: `
    WITH bound AS (
      UPDATE destinations d SET due_at = $1 WHERE ${LAGS} = ANY ('{f,t}'::boolean[]) AND d.due_at > $1
      RETURNING 1 AS one)
    SELECT count(*) AS count FROM bound`,
}
const RETRY_ONE: Statement = {
  name: 'delivery-retry',
  text: `
    WITH bound AS (
      UPDATE destinations SET due_at = $1 WHERE destination = $2 AND due_at > $1 RETURNING 1 AS one)
    SELECT count(*) AS count FROM bound`,
}
const LIST: Statement = {
  name: 'deliveries',
  text: `
    SELECT destination, waiting, attempts, due_at AS "dueAt", oldest_at AS "oldestAt", reason
    FROM destinations WHERE destination > $1 ORDER BY destination LIMIT $2`,
}
const LIST_WAITING: Statement = {
  name: 'deliveries-waiting',
  text: `
    SELECT v.event AS place, e.event_id AS "eventId", r.room_id AS "roomId", octet_length(e.json) AS bytes,
      v.queued_at AS "queuedAt", CASE WHEN v.event = ANY (d.txn_events) THEN d.txn_id END AS "txnId"
    FROM deliveries v JOIN destinations d ON d.destination = v.destination
      JOIN events e ON e.event = v.event JOIN rooms r ON r.room = e.room
    WHERE v.destination = $1 AND v.event > $2 ORDER BY v.event LIMIT $3`,
}
const DEPTH: Statement = {
  name: 'delivery-depth',
  text: `
    SELECT d.waiting, d.failing, d.oldest_at AS "oldestAt", o.waiting AS "outboxWaiting", o.oldest_at AS "outboxOldestAt"
    FROM (SELECT coalesce(sum(waiting), 0)::bigint AS waiting, count(*) FILTER (WHERE attempts > 0) AS failing,
        min(oldest_at) AS oldest_at FROM destinations) d,
      (SELECT count(*) AS waiting, min(queued_at) AS oldest_at
        FROM (SELECT queued_at FROM outbox ORDER BY event LIMIT ${COUNTED_OUTBOX}) counted) o`,
}

interface WaitingRow {
  readonly destination: Buffer
  readonly waiting: number
  readonly attempts: number
  readonly dueAt: number
  readonly oldestAt: number
  readonly reason: Buffer | null
}

interface WaitingEventRow extends Pick<WaitingEvent, 'place' | 'bytes' | 'queuedAt'> {
  readonly eventId: Buffer
  readonly roomId: Buffer
  readonly txnId: string | null
}

interface DepthRow {
  readonly waiting: number
  readonly failing: number
  readonly oldestAt: number | null
  readonly outboxWaiting: number
  readonly outboxOldestAt: number | null
}

type Queue = Omit<DeliveryQueue, 'onEnqueued'> & DeliveryAdministration

export function createDeliveryQueue(
  database: Database,
  events: RowReader<OutgoingEvent>,
  holder: ClaimHolder,
  clock: Clock,
): Queue {
  return {
    expand: createExpansion(database, clock),
    ...createDeliveryClaims(database, events, holder, clock),
    ...createWaits(database, clock),
    ...createFigures(database),
    async drop(destination, before = Number.MAX_SAFE_INTEGER) {
      let total = 0
      // In short transactions: others get in between.
      for (let more = true; more; ) {
        const values = [bytes(destination), before, DROPPED_EVENTS]
        const [pass] = await database.run<{ dropped: number; someLeft: boolean }>(DROP, values)
        total += pass?.dropped ?? 0
        more = pass?.someLeft === true && pass.dropped === DROPPED_EVENTS
      }
      return total
    },
    async dropEvent(destination, eventId) {
      const [row] = await database.run<{ dropped: boolean }>(DROP_EVENT, [bytes(destination), bytes(eventId)])
      return row?.dropped === true
    },
  }
}

function createWaits({ run }: Database, clock: Clock): Pick<Queue, 'resume' | 'boundWaits' | 'retry'> {
  return {
    async resume(destinations) {
      return (await run(RESUME, [clock(), destinations.map(bytes)])).length > 0
    },
    async boundWaits(latest) {
      await run(BOUND, [latest])
    },
    async retry(destination) {
      const values = destination === undefined ? [clock()] : [clock(), bytes(destination)]
      const [row] = await run<{ count: number }>(destination === undefined ? BOUND : RETRY_ONE, values)
      return row?.count ?? 0
    },
  }
}

function createFigures({ run }: Database): Pick<Queue, 'listDeliveries' | 'listWaiting' | 'depth'> {
  return {
    async listDeliveries(after, limit) {
      const rows = await run<WaitingRow>(LIST, [bytes(after ?? ''), limit])
      return rows.map(({ destination, reason, ...row }) => ({
        ...row,
        destination: text(destination) as ServerName,
        reason: reason === null ? undefined : text(reason),
      }))
    },
    async listWaiting(destination, after, limit) {
      const rows = await run<WaitingEventRow>(LIST_WAITING, [bytes(destination), after, limit])
      return rows.map(({ eventId, roomId, txnId, ...row }) => ({
        ...row,
        eventId: text(eventId) as EventId,
        roomId: text(roomId) as RoomId,
        txnId: txnId ?? undefined,
      }))
    },
    async depth(now) {
      const [row] = await run<DepthRow>(DEPTH)
      if (row === undefined) throw new Error('a sum without rows')
      const oldestAt = Math.min(row.oldestAt ?? now, row.outboxOldestAt ?? now)
      return {
        waiting: row.waiting + row.outboxWaiting,
        failing: row.failing,
        oldestAge: Math.max(0, now - oldestAt),
      }
    },
  }
}
