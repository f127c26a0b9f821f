/** The durable outbox as the delivery worker and the delivery commands see it. */

import type { DeliveryAdministration, DeliveryQueue, WaitingEvent } from '../../knock/ports/deliveries.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import type { Database } from './database.ts'
import { createDeliveryClaims } from './delivery-claims.ts'
import { LAGS, RESUMABLE } from './delivery-waits.ts'
import type { WriterClient } from './writer-client.ts'

/** Rows of the outbox that the metrics count one by one. */
const COUNTED_OUTBOX = 10_000

interface DepthRow {
  readonly waiting: number | null
  readonly failing: number | null
  readonly oldestAt: number | null
}

interface WaitingRow {
  readonly destination: ServerName
  readonly waiting: number
  readonly attempts: number
  readonly dueAt: number
  readonly oldestAt: number
  readonly reason: string | null
}

type Queue = Omit<DeliveryQueue, 'onEnqueued'> & DeliveryAdministration

interface WaitingEventRow extends Omit<WaitingEvent, 'txnId'> {
  readonly txnId: string | null
}

export function createDeliveryQueue(db: Database, writer: WriterClient, clock: Clock): Queue {
  const knocks = db.prepare('SELECT 1 FROM outbox LIMIT 1')
  return {
    async expand() {
      return knocks.get() !== undefined && writer.demand('expand', { now: clock() })
    },
    ...createDeliveryClaims(db, writer, clock),
    ...createWaits(db, writer, clock),
    ...createFigures(db),
    ...createLists(db),
    async drop(destination, before = Number.MAX_SAFE_INTEGER) {
      let total = 0
      // In short transactions: commits of knocks get in between.
      for (let more = true; more; ) {
        const pass = await writer.demand('drop', { destination, before })
        total += pass.dropped
        more = pass.more
      }
      return total
    },
    dropEvent: (destination, eventId) => writer.demand('dropEvent', { destination, eventId }),
  }
}

function createWaits(db: Database, writer: WriterClient, clock: Clock): Pick<Queue, 'resume' | 'boundWaits' | 'retry'> {
  const resumable = db.prepare(`SELECT 1 FROM destinations WHERE ${RESUMABLE}`)
  const later = db.prepare(`SELECT 1 FROM destinations WHERE ${LAGS} IN (0, 1) AND due_at > ? LIMIT 1`)

  return {
    async resume(servers) {
      const now = clock()
      const destinations = servers.filter((server) => resumable.get(now, server) !== undefined)
      return destinations.length > 0 && writer.demand('resume', { now, destinations })
    },
    async boundWaits(latest) {
      if (later.get(latest) !== undefined) await writer.demand('boundWaits', { latest })
    },
    retry: (destination) => writer.demand('retry', { now: clock(), destination }),
  }
}

function createLists(db: Database): Pick<Queue, 'listDeliveries' | 'listWaiting'> {
  const list = db.prepare(`
    SELECT destination, waiting, attempts, due_at AS dueAt, oldest_at AS oldestAt, reason
    FROM destinations WHERE destination > ? ORDER BY destination LIMIT ?`)
  const events = db.prepare(`
    SELECT v.event AS place, e.event_id AS eventId, r.room_id AS roomId, octet_length(e.json) AS bytes,
      v.queued_at AS queuedAt, CASE WHEN v.event <= d.txn_last THEN d.txn_id END AS txnId
    FROM deliveries v JOIN destinations d ON d.destination = v.destination
      JOIN events e ON e.event = v.event JOIN rooms r ON r.room = e.room
    WHERE v.destination = ? AND v.event > ? ORDER BY v.event LIMIT ?`)

  return {
    async listDeliveries(after, limit) {
      const rows = list.all(after ?? '', limit) as unknown as WaitingRow[]
      return rows.map((row) => ({ ...row, reason: row.reason ?? undefined }))
    },
    async listWaiting(destination, after, limit) {
      const rows = events.all(destination, after, limit) as unknown as WaitingEventRow[]
      return rows.map((row) => ({ ...row, txnId: row.txnId ?? undefined }))
    },
  }
}

function createFigures(db: Database): Pick<Queue, 'depth'> {
  const depth = db.prepare(
    'SELECT sum(waiting) AS waiting, sum(attempts > 0) AS failing, min(oldest_at) AS oldestAt FROM destinations',
  )
  const outbox = db.prepare(`
    SELECT count(*) AS waiting, min(queued_at) AS oldestAt
    FROM (SELECT queued_at FROM outbox ORDER BY event LIMIT ${COUNTED_OUTBOX})`)
  return {
    async depth(now) {
      const rows = depth.get() as unknown as DepthRow
      const knocks = outbox.get() as unknown as Pick<DepthRow, 'waiting' | 'oldestAt'>
      const oldestAt = Math.min(rows.oldestAt ?? now, knocks.oldestAt ?? now)
      return {
        waiting: (rows.waiting ?? 0) + (knocks.waiting ?? 0),
        failing: rows.failing ?? 0,
        oldestAge: Math.max(0, now - oldestAt),
      }
    },
  }
}
