import { describe, expect, it } from 'vitest'
import type { ServerName, UserId } from '../../../src/matrix/identifiers.ts'
import type { PostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { ALICE, accept, BOB, CAROL, DAVE, decision, HERE, id, importRoom, knock, ROOM } from '../sample-room.ts'
import { type TemporaryStore, temporaryStore } from './temporary-store.ts'

const ROOMS = 2_000
const MEMBERS = 20
const LARGE = 20_000
/** A row for each delivery under way, and one. */
const OF_FEW_ROWS = ['claims', 'store_schema']
/** Upkeep looks once a minute for where the newest of these end. */
const UPKEEP = ['decisions: rows', 'server_keys: rows', 'refusals: entries', 'server_keys_by_age: entries']

/** Everything that a request, a delivery or a command on one room asks of the store. */
async function everything(store: PostgresStore): Promise<void> {
  for (const user of [ALICE, BOB, CAROL]) await store.readRoom(ROOM, user)
  await store.readFacts(ROOM)
  await store.readExtremities(ROOM)
  await store.hasJoinedMember(ROOM, HERE)
  const knocks = Array.from({ length: 12 }, (_, at) => knock(`k${at}`, `@u${at}:remote.test` as UserId, ['bob']))
  for (const event of knocks) expect((await accept(store, event)).kind).toBe('committed')
  await accept(store, knock('again', CAROL, ['bob', 'k1']))
  await accept(store, knock('again2', CAROL, ['again', 'k2', 'bob']))
  await store.readContext({
    roomId: ROOM,
    sender: DAVE,
    eventId: id('new'),
    prevEvents: ['bob', 'k3', 'again2', 'unheard'].map(id),
    authEvents: ['create', 'rules', 'power', 'unheard'].map(id),
  })
  await store.readExtremities(ROOM)
  await store.roomSummary(ROOM)
  await store.listDecisions({ roomId: ROOM, limit: 5 })
  await store.listDecisions({ userId: CAROL, limit: 5 })
  store.recordDecision(decision({ outcome: 'refused' }))
  await store.listDecisions({ roomId: ROOM, userId: CAROL, limit: 5 })
  await store.readServerKeys(HERE)
  await store.writeServerKeys({ server: HERE, fetchedAt: 1, keys: [] })
  while (await store.expand());
  await store.nextDue()
  for (const { destination, txnId } of await store.claim(0, 5)) await store.release(destination, txnId)
  await store.resume(['there.test' as ServerName])
  await store.drop('there.test' as ServerName)
  await store.settle(ROOM, id('bob'), 'wrong')
  await store.unverifiedEvents(3)
}

/** Rows read of each table and index, and scans of whole tables, in the whole life of one store. */
async function costOf(schema: TemporaryStore, use: (store: PostgresStore) => Promise<void>) {
  const before = await counters(schema)
  const store = await schema.open({ poolSize: 1 })
  await use(store)
  // What a session has counted is published when it ends, at the latest.
  await store.close()
  const after = await counters(schema)
  return Object.fromEntries(Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]))
}

async function counters(schema: TemporaryStore): Promise<Record<string, number>> {
  const rows = await schema.query<{ name: string; count: string }>(`
    SELECT relname || ': scans of the whole table' AS name, seq_scan AS count
      FROM pg_stat_user_tables WHERE schemaname = current_schema()
    UNION ALL SELECT relname || ': rows', seq_tup_read + coalesce(idx_tup_fetch, 0)
      FROM pg_stat_user_tables WHERE schemaname = current_schema()
    UNION ALL SELECT indexrelname || ': entries', idx_tup_read
      FROM pg_stat_user_indexes WHERE schemaname = current_schema()`)
  return Object.fromEntries(rows.map(({ name, count }) => [name, Number(count)]))
}

/** Other rooms, and other things waiting, as a busy store has them. */
async function fill(schema: TemporaryStore): Promise<void> {
  await schema.query(`
    INSERT INTO rooms (room_id, version, revision, facts_revision, resident, snapshot)
      SELECT convert_to('!r' || r, 'UTF8'), '10', 1, 1, true, 1000 + r FROM generate_series(1, ${ROOMS}) r;
    INSERT INTO snapshots (room, phase, changed_at, from_revision, version, own_server, discard_knocks)
      OVERRIDING SYSTEM VALUE SELECT room, 'current', 0, 1, '10', '', false FROM rooms WHERE snapshot > 1000;
    CREATE TEMP TABLE members AS
      SELECT r.room, r.snapshot, m, convert_to('@m' || m || ':s' || m, 'UTF8') AS who
      FROM rooms r, generate_series(1, ${MEMBERS}) m WHERE r.snapshot > 1000;
    INSERT INTO members SELECT 1, 1, m, convert_to('@m' || m || ':s' || m, 'UTF8') FROM generate_series(1, ${LARGE}) m;
    INSERT INTO events (room, snapshot, event_id, checked, json)
      SELECT room, snapshot, convert_to('$m' || m, 'UTF8'), 1, '{}' FROM members;
    INSERT INTO state (snapshot, type, state_key, from_revision, event, membership)
      SELECT snapshot, 'm.room.member', who, 0, 1000000 + m, 'join' FROM members;
    INSERT INTO joined_servers SELECT snapshot, convert_to('s' || m, 'UTF8'), 1 FROM members WHERE snapshot > 1000;
    INSERT INTO extremities (room, event_id, snapshot, depth, from_revision, kept)
      SELECT room, convert_to('$x' || m, 'UTF8'), snapshot, m, 0, false FROM members WHERE snapshot > 1000;
    INSERT INTO knocks SELECT snapshot, 1000000 + m, false FROM members WHERE snapshot > 1000;
    INSERT INTO decisions (refused, recorded_at, room_id, user_id, json)
      SELECT m % 2 = 0, 9e15, '!r', who, '{}' FROM members;
    INSERT INTO destinations (destination, due_at, waiting, oldest_at, attempts)
      SELECT convert_to('s' || m, 'UTF8'), 9e15, 1, 0, m % 2 FROM generate_series(1, ${LARGE}) m;
    INSERT INTO deliveries SELECT convert_to('s' || m, 'UTF8'), 1000000 + m, 0 FROM generate_series(1, ${LARGE}) m;
    INSERT INTO server_keys SELECT convert_to('s' || m, 'UTF8'), m, '[]' FROM generate_series(1, ${LARGE}) m`)
}

describe('what the store reads for one room', () => {
  it('does not grow with the store: the same rows and index entries, and never a whole table', {
    timeout: 120_000,
  }, async () => {
    const costs = []
    for (const others of ['few', 'many']) {
      const schema = await temporaryStore()
      await schema.query('SELECT 1')
      const first = await schema.open()
      await importRoom(first, { unverified: ['bob'] })
      await first.close()
      if (others === 'many') await fill(schema)
      costs.push(await costOf(schema, everything))
    }
    const [few = {}, many = {}] = costs
    const scans = Object.entries(many).filter(([name, count]) => name.endsWith('whole table') && count > 0)
    expect(scans.map(([name]) => name.split(':')[0]).sort()).toEqual(OF_FEW_ROWS)
    const grown = Object.entries(many).filter(
      ([name, count]) => count > 1.5 * (few[name] ?? 0) + 40 && !UPKEEP.includes(name),
    )
    expect(grown.map(([name, count]) => `${name} ${few[name]} -> ${count}`)).toEqual([])
  })
})
