/** Claims on destinations, which hold against every other process. https://spec.matrix.org/latest/server-server-api/#transactions */
import { randomUUID } from 'node:crypto'
import type { DeliveryQueue, OutgoingTransaction } from '../../knock/delivery-ports.ts'
import type { Clock } from '../../knock/ports.ts'
import type { RoomEvent } from '../../matrix/event.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import { bytes, text } from './bytea.ts'
import type { ClaimHolder } from './claim-holder.ts'
import type { Database, Statement } from './database.ts'
import { LIVES } from './delivery-functions.ts'
import type { EventReader } from './event-reader.ts'

interface TransactionRow {
  readonly destination: Buffer
  readonly txnId: string
  readonly startedAt: number
  readonly attempts: number
  readonly oldestAt: number | null
  readonly events: readonly string[] | null
}

const CLAIM: Statement = {
  name: 'claim',
  text: `
    SELECT destination, txn_id AS "txnId", txn_at AS "startedAt", attempts, oldest_at AS "oldestAt", events
    FROM claim_destinations($1, $2, $3, $4, $5)`,
}
/** The soonest of those that failed and of those that did not: each is the first of an index that nobody holds. */
const NEXT_DUE: Statement = {
  name: 'next-due',
  text: `
    SELECT min(d.due_at) AS "dueAt" FROM (VALUES (false), (true)) f(failing) CROSS JOIN LATERAL (
      SELECT n.due_at FROM destinations n WHERE (n.attempts > 0) = f.failing
        AND NOT EXISTS (SELECT 1 FROM claims c WHERE c.destination = n.destination AND ${LIVES})
      ORDER BY n.due_at LIMIT 1) d`,
}
const DELIVERED: Statement = { name: 'delivered', text: 'SELECT finish_delivery($1, $2, $3, $4)' }
/** Counted once, however often it is told: with the claim that it ends. */
const FAILED: Statement = {
  name: 'delivery-failed',
  text: `
    WITH ended AS (
      DELETE FROM claims WHERE destination = $1 AND txn_id = $2 AND worker = $3 RETURNING destination)
    UPDATE destinations d SET attempts = d.attempts + 1, due_at = $4, not_before = $5, reason = $6
    FROM ended WHERE d.destination = ended.destination AND d.txn_id = $2`,
}
const RELEASE: Statement = {
  name: 'claim-release',
  text: 'DELETE FROM claims WHERE destination = $1 AND txn_id = $2 AND worker = $3',
}

export function createDeliveryClaims(
  { run }: Database,
  events: EventReader,
  holder: ClaimHolder,
  clock: Clock,
): Pick<DeliveryQueue, 'claim' | 'nextDue' | 'delivered' | 'failed' | 'release'> {
  /** Calls of which the answer was lost, and with it what they took: the next call asks for it. */
  const lost: string[] = []
  const held = (destination: ServerName, txnId: string) => [bytes(destination), txnId, holder.id]
  return {
    async claim(now, limit, failing = limit) {
      holder.begin()
      const attempt = lost.pop() ?? randomUUID()
      try {
        const rows = await run<TransactionRow>(CLAIM, [holder.id, attempt, now, limit, failing])
        const known = await events.load(run, [...new Set(rows.flatMap(eventsOf))])
        return rows.map((row) => outgoing(row, known, now))
      } catch (error) {
        lost.push(attempt)
        throw error
      }
    },
    async nextDue() {
      const [row] = await run<{ dueAt: number | null }>(NEXT_DUE)
      return row?.dueAt ?? undefined
    },
    async delivered(destination, txnId) {
      await run(DELIVERED, [...held(destination, txnId), clock()])
    },
    async failed(destination, txnId, { retryAt, notBefore, reason }) {
      await run(FAILED, [...held(destination, txnId), retryAt, notBefore ?? null, bytes(reason)])
    },
    async release(destination, txnId) {
      await run(RELEASE, held(destination, txnId))
    },
  }
}

function eventsOf({ events }: TransactionRow): readonly number[] {
  return (events ?? []).map(Number)
}

function outgoing(row: TransactionRow, known: ReadonlyMap<number, RoomEvent>, now: number): OutgoingTransaction {
  const { destination, txnId, startedAt, attempts, oldestAt } = row
  return {
    destination: text(destination) as ServerName,
    txnId,
    startedAt,
    attempts,
    oldestAt: oldestAt ?? now,
    events: eventsOf(row).flatMap((event) => known.get(event) ?? []),
  }
}
