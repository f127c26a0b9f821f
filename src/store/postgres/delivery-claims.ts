/** Claims on destinations, which hold against every other process. https://spec.matrix.org/latest/server-server-api/#transactions */
import { randomUUID } from 'node:crypto'
import type { DeliveryQueue, OutgoingEvent, OutgoingTransaction } from '../../knock/ports/deliveries.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import { bytes, text } from './bytea.ts'
import type { ClaimHolder } from './claim-holder.ts'
import type { Database, Statement } from './database.ts'
import { LAGS, LIVES } from './delivery-functions.ts'
import type { RowReader } from './event-reader.ts'

interface TransactionRow {
  readonly destination: Buffer
  readonly txnId: string
  readonly startedAt: number
  readonly attempts: number
  readonly slow: boolean
  readonly refusals: number
  readonly oldestAt: number | null
  readonly events: readonly string[] | null
}

const CLAIM: Statement = {
  name: 'claim',
  text: `
    SELECT destination, txn_id AS "txnId", txn_at AS "startedAt", attempts, slow, refusals,
      oldest_at AS "oldestAt", events
    FROM claim_destinations($1, $2, $3, $4, $5)`,
}
/** Events in one answer of the database: each can be 64 KiB. */
const READ_AT_ONCE = 64

/** The soonest of those that lag and of those that do not: each is the first of an index that nobody holds. */
const NEXT_DUE: Statement = {
  name: 'next-due',
  text: `
    SELECT min(d.due_at) AS "dueAt" FROM (VALUES (false), (true)) f(lagging) CROSS JOIN LATERAL (
      SELECT d.due_at FROM destinations d WHERE ${LAGS} = f.lagging
        AND NOT EXISTS (SELECT 1 FROM claims c WHERE c.destination = d.destination AND ${LIVES})
      ORDER BY d.due_at LIMIT 1) d`,
}
const DELIVERED: Statement = { name: 'delivered', text: 'SELECT finish_delivery($1, $2, $3, $4, $5)' }
const HALVE: Statement = { name: 'delivery-halve', text: 'SELECT halve_delivery($1, $2, $3, $4, $5, $6)' }
/** Counted once, however often it is told: with the claim that it ends. */
const FAILED: Statement = {
  name: 'delivery-failed',
  text: `
    WITH ended AS (
      DELETE FROM claims WHERE destination = $1 AND txn_id = $2 AND worker = $3 RETURNING destination)
    UPDATE destinations d SET attempts = d.attempts + 1, due_at = $4, not_before = $5, reason = $6,
      refusals = d.refusals + $7::integer, suspects = CASE WHEN $7::integer > 0 THEN 1 ELSE d.suspects END
    FROM ended WHERE d.destination = ended.destination AND d.txn_id = $2`,
}
const RELEASE: Statement = {
  name: 'claim-release',
  text: 'DELETE FROM claims WHERE destination = $1 AND txn_id = $2 AND worker = $3',
}
const POSTPONE: Statement = {
  name: 'claim-postpone',
  text: `
    WITH ended AS (
      DELETE FROM claims WHERE destination = $1 AND txn_id = $2 AND worker = $3 RETURNING destination)
    UPDATE destinations d SET due_at = $4 FROM ended WHERE d.destination = ended.destination AND d.txn_id = $2`,
}

export function createDeliveryClaims(
  { run }: Database,
  events: RowReader<OutgoingEvent>,
  holder: ClaimHolder,
  clock: Clock,
): Pick<DeliveryQueue, 'claim' | 'nextDue' | 'delivered' | 'failed' | 'halve' | 'release'> {
  /** Calls of which the answer was lost, and with it what they took: the next call asks for it. */
  const lost: string[] = []
  const held = (destination: ServerName, txnId: string) => [bytes(destination), txnId, holder.id]
  return {
    async claim(now, limit, lagging = limit) {
      holder.begin()
      const attempt = lost.pop() ?? randomUUID()
      try {
        const rows = await run<TransactionRow>(CLAIM, [holder.id, attempt, now, limit, lagging])
        const wanted = [...new Set(rows.flatMap(eventsOf))]
        const known = new Map<number, OutgoingEvent>()
        for (let at = 0; at < wanted.length; at += READ_AT_ONCE) {
          for (const [row, event] of await events.load(run, wanted.slice(at, at + READ_AT_ONCE))) known.set(row, event)
        }
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
    async delivered(destination, txnId, pace = 'quick') {
      await run(DELIVERED, [...held(destination, txnId), clock(), pace === 'slow'])
    },
    async failed(destination, txnId, { retryAt, notBefore, reason, refused }) {
      const values = [retryAt, notBefore ?? null, bytes(reason), refused ? 1 : 0]
      await run(FAILED, [...held(destination, txnId), ...values])
    },
    async halve(destination, txnId, reason, pace = 'quick') {
      await run(HALVE, [...held(destination, txnId), clock(), pace === 'slow', bytes(reason)])
    },
    async release(destination, txnId, dueAt) {
      if (dueAt === undefined) await run(RELEASE, held(destination, txnId))
      else await run(POSTPONE, [...held(destination, txnId), dueAt])
    },
  }
}

function eventsOf({ events }: TransactionRow): readonly number[] {
  return (events ?? []).map(Number)
}

function outgoing(row: TransactionRow, known: ReadonlyMap<number, OutgoingEvent>, now: number): OutgoingTransaction {
  const { destination, txnId, startedAt, attempts, slow, refusals, oldestAt } = row
  return {
    destination: text(destination) as ServerName,
    txnId,
    startedAt,
    attempts,
    slow,
    refusals,
    oldestAt: oldestAt ?? now,
    events: eventsOf(row).flatMap((event) => known.get(event) ?? []),
  }
}
