import { describe, expect, it, onTestFinished } from 'vitest'
import { createAttemptReader, createAttemptWriter } from '../../../src/store/sqlite/attempt-rows.ts'
import { createKnockCommit } from '../../../src/store/sqlite/commit-knock.ts'
import { openWriter } from '../../../src/store/sqlite/connection.ts'
import type { Database } from '../../../src/store/sqlite/database.ts'
import { createDecisionReader } from '../../../src/store/sqlite/decision-rows.ts'
import { createDeliveryClaims } from '../../../src/store/sqlite/delivery-claims.ts'
import { createExpansion } from '../../../src/store/sqlite/delivery-expansion.ts'
import { createDeliveryTransactions } from '../../../src/store/sqlite/delivery-transactions.ts'
import { createDeliveryWaits } from '../../../src/store/sqlite/delivery-waits.ts'
import { createEventReader } from '../../../src/store/sqlite/event-reader.ts'
import { prepareAcceptedForgetting } from '../../../src/store/sqlite/forget-accepted.ts'
import { createImportStaging } from '../../../src/store/sqlite/import-staging.ts'
import { createImportSwap } from '../../../src/store/sqlite/import-swap.ts'
import { createKnockKeeping } from '../../../src/store/sqlite/kept-knocks.ts'
import { createKeyReader, createKeyWriter } from '../../../src/store/sqlite/key-rows.ts'
import { createRoomCopy } from '../../../src/store/sqlite/room-copy.ts'
import { createRoomList } from '../../../src/store/sqlite/room-list.ts'
import { createRoomReader } from '../../../src/store/sqlite/room-reader.ts'
import { createSettlement } from '../../../src/store/sqlite/settle-signatures.ts'
import { createUncheckedReader } from '../../../src/store/sqlite/unchecked-events.ts'
import type { WriterClient } from '../../../src/store/sqlite/writer-client.ts'
import { temporaryStore } from './temporary-store.ts'

const PARTS: Readonly<Record<string, (db: Database) => unknown>> = {
  'reading rooms': (db) => createRoomReader(db, createEventReader(db), { clock: Date.now, historyMs: 1 }),
  'copying a room': createRoomCopy,
  'listing rooms': (db) => createRoomList(db, () => undefined),
  'recording a knock': createKnockCommit,
  'keeping attempts': (db) => [createAttemptWriter(db), createAttemptReader(db)],
  'listing decisions': createDecisionReader,
  'keys of servers': (db) => [createKeyReader(db), createKeyWriter(db)],
  'claiming destinations': (db) => createDeliveryClaims(db, {} as WriterClient, Date.now),
  delivering: (db) => [createExpansion(db), createDeliveryTransactions(db)],
  'resuming deliveries': createDeliveryWaits,
  'staging an import': createImportStaging,
  'keeping knocks': createKnockKeeping,
  'swapping an import': createImportSwap,
  'settling signatures': createSettlement,
  'forgetting accepted events': prepareAcceptedForgetting,
  'asking for signatures': (db) => createUncheckedReader(db, () => undefined),
}

/**
 * Walks in the order of the key and stops at the limit; counts attempts, of which there are never many; sorts the few imports
 * that are kept of one room.
 */
const BOUNDED = [
  /^SCAN (o|decisions)$/,
  /^SCAN (CONSTANT ROW$|knock_attempts USING COVERING INDEX)/,
  /^USE TEMP B-TREE FOR ORDER BY$/,
]
const SORTS_IMPORTS = /ORDER BY s\.from_revision DESC LIMIT 1$/

/** The steps of a statement whose cost grows with the store. */
function growingSteps({ sql, steps }: { sql: string; steps: readonly string[] }): readonly string[] {
  return steps.filter((step) => {
    if (!/SCAN|TEMP B-TREE/.test(step)) return false
    if (step.startsWith('USE') && !SORTS_IMPORTS.test(sql)) return true
    return !BOUNDED.some((bounded) => bounded.test(step))
  })
}

/** The statements that a part prepares, with how SQLite goes about each. */
async function plansOf(part: (db: Database) => unknown): Promise<readonly { sql: string; steps: readonly string[] }[]> {
  const db = openWriter({ path: (await temporaryStore()).path })
  onTestFinished(() => db.close())
  const statements: string[] = []
  const listening = new Proxy(db, {
    get(target, key) {
      if (key !== 'prepare') return Reflect.get(target, key)
      return (sql: string) => {
        statements.push(sql)
        return target.prepare(sql)
      }
    },
  })
  part(listening)
  return statements
    .filter((sql) => /^\s*(SELECT|INSERT|UPDATE|DELETE)/.test(sql))
    .map((sql) => {
      const steps = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
      return { sql, steps: steps.map(({ detail }) => detail) }
    })
}

describe('every statement finds its rows by an index and never sorts', () => {
  it.each(Object.keys(PARTS))('%s', async (name) => {
    const plans = await plansOf(PARTS[name] as (db: Database) => unknown)
    expect(plans.length).toBeGreaterThan(0)
    for (const plan of plans) expect(growingSteps(plan), plan.sql).toEqual([])
  })
})
