import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { CommitOutcome } from '../../../src/knock/ports/rooms.ts'
import type { RoomId, ServerName, UserId } from '../../../src/matrix/identifiers.ts'
import type { PostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { DAY } from '../contract.ts'
import {
  accept,
  CAROL,
  commitOf,
  decision,
  extremityNames,
  HERE,
  id,
  importRoom,
  knock,
  member,
  membershipOf,
  ROOM,
  sampleState,
} from '../sample-room.ts'
import { type TemporaryStore, temporaryStore } from './temporary-store.ts'

const THERE = 'there.test' as ServerName
const userOf = (at: number) => `@u${at}:remote.test` as UserId
const kinds = (outcomes: readonly CommitOutcome[]) => outcomes.map(({ kind }) => kind).sort()

async function replicas(count: number): Promise<{ schema: TemporaryStore; stores: readonly PostgresStore[] }> {
  const schema = await temporaryStore()
  return { schema, stores: await Promise.all(Array.from({ length: count }, () => schema.open())) }
}

function each(stores: readonly PostgresStore[], at: number): PostgresStore {
  const store = stores[at % stores.length]
  if (store === undefined) throw new Error('no stores')
  return store
}

describe('several processes on one room', () => {
  it('record one knock that comes to each of them once', async () => {
    const { stores } = await replicas(4)
    await importRoom(each(stores, 0))
    const commit = commitOf(knock('k', CAROL, ['bob']), 1)
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, at) => each(stores, at).commitKnock(commit)))
    expect(kinds(outcomes)).toEqual(['committed', ...Array.from({ length: 39 }, () => 'duplicate')])
  })

  it('record one of several knocks of one user that were judged on the same membership', async () => {
    const { stores, schema } = await replicas(2)
    await importRoom(each(stores, 0))
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, at) => {
        return each(stores, at).commitKnock(commitOf(knock(`k${at}`, CAROL, ['bob']), 1))
      }),
    )
    expect(kinds(outcomes)).toEqual(['committed', ...Array.from({ length: 19 }, () => 'conflict')])
    expect(await schema.rows()).toMatchObject({ knocks: 1, outbox: 1, decisions: 1 })
    const [first, second] = await Promise.all(
      [0, 1].map(async (at) => (await each(stores, at).readRoom(ROOM, CAROL))?.member),
    )
    expect(first?.eventId).toBeDefined()
    expect(second).toEqual(first)
  })

  it('record knocks of 200 users, each at a revision of its own, and see what the others did at once', async () => {
    const { stores } = await replicas(3)
    await importRoom(each(stores, 0))
    const users = Array.from({ length: 200 }, (_, at) => userOf(at))
    const outcomes = await Promise.all(
      users.map((user, at) => each(stores, at).commitKnock(commitOf(knock(`k${at}`, user, ['bob']), 1))),
    )
    const revisions = outcomes.map((outcome) => (outcome.kind === 'committed' ? outcome.revision : 0))
    expect(revisions.sort((left, right) => left - right)).toEqual(users.map((_, at) => at + 2))
    expect(await each(stores, 1).roomSummary(ROOM)).toMatchObject({ revision: 201, extremities: 200 })
    for (const [at, user] of users.entries()) expect(await membershipOf(each(stores, at + 1), user)).toBe('knock')
    const names = await extremityNames(each(stores, 2))
    const merged = knock('merge', CAROL, names)
    expect((await accept(each(stores, 1), merged)).kind).toBe('committed')
    expect((await each(stores, 0).roomSummary(ROOM))?.extremities).toBe(191)
  })

  it('do not wait for a room that is not theirs', async () => {
    const { stores, schema } = await replicas(1)
    const other = '!other:here.test' as RoomId
    await importRoom(each(stores, 0))
    await importRoom(each(stores, 0), { header: { roomId: other } })
    const held = schema.query(
      `BEGIN; SELECT 1 FROM rooms WHERE room_id = '${ROOM}' FOR UPDATE; SELECT pg_sleep(2); COMMIT`,
    )
    await untilLocked(schema)
    let done = false
    // More than the pool has connections: they take one of them.
    const waiting = Promise.all(
      Array.from({ length: 30 }, (_, at) =>
        each(stores, 0).commitKnock(commitOf(knock(`k${at}`, userOf(at), ['bob']), 1)),
      ),
    ).finally(() => {
      done = true
    })
    expect((await accept(each(stores, 0), knock('k', CAROL, ['bob']), other)).kind).toBe('committed')
    expect((await each(stores, 0).readRoom(ROOM, CAROL))?.head.revision).toBe(1)
    expect(done).toBe(false)
    expect(new Set(kinds(await waiting))).toEqual(new Set(['committed']))
    await held
  })
})

describe('imports beside other processes', () => {
  it('lose no knock that another process records meanwhile', { timeout: 60_000 }, async () => {
    const { stores } = await replicas(2)
    await importRoom(each(stores, 0))
    const crowd = Array.from({ length: 1_500 }, (_, at) => member(`m${at}`, `@m${at}:s${at}.test`, 'join'))
    let importing = true
    const imports = (async () => {
      for (let round = 0; round < 3; round++) {
        const outcome = await importRoom(each(stores, 0), { state: [...sampleState(), ...crowd] })
        expect(outcome.kind).toBe('imported')
      }
    })().finally(() => {
      importing = false
    })
    const users: UserId[] = []
    for (let at = 0; importing || at < 50; at++) {
      const user = userOf(at)
      let outcome = await accept(each(stores, 1), knock(`k${at}`, user, ['bob']))
      while (outcome.kind === 'conflict') outcome = await accept(each(stores, 1), knock(`k${at}`, user, ['bob']))
      expect(outcome.kind).toBe('committed')
      users.push(user)
    }
    await imports
    const store = each(stores, 1)
    expect(await store.roomSummary(ROOM)).toMatchObject({ members: 1_502, revision: users.length + 4 })
    for (const user of users) expect(await membershipOf(store, user), user).toBe('knock')
  })

  it('of one room at once: one comes into use, the other is told to begin again, and knocks stay', async () => {
    const { stores } = await replicas(2)
    await importRoom(each(stores, 0))
    await accept(each(stores, 0), knock('k', CAROL, ['bob']))
    const outcomes = await Promise.all([0, 1].map((at) => importRoom(each(stores, at))))
    const imported = outcomes.filter(({ kind }) => kind === 'imported')
    const refused = outcomes.filter(({ kind }) => kind === 'refused')
    expect(imported.length).toBeGreaterThanOrEqual(1)
    for (const outcome of refused) {
      expect(outcome).toEqual({ kind: 'refused', reason: expect.stringMatching(/another import of this room/) })
    }
    expect(await each(stores, 1).roomSummary(ROOM)).toMatchObject({ revision: 2 + imported.length, extremities: 2 })
    expect((await each(stores, 0).readRoom(ROOM, CAROL))?.member?.eventId).toBe(id('k'))
  })

  it('of a room that is new to both: each ends as a whole', async () => {
    const { stores, schema } = await replicas(2)
    const outcomes = await Promise.all([0, 1].map((at) => importRoom(each(stores, at))))
    expect(outcomes.some(({ kind }) => kind === 'imported')).toBe(true)
    expect((await schema.rows()).rooms).toBe(1)
    expect(await each(stores, 0).roomSummary(ROOM)).toMatchObject({ members: 2, servers: 2, extremities: 1 })
  })

  it('that begin while an abandoned one of the same room is removed keep their room', { timeout: 60_000 }, async () => {
    const { stores, schema } = await replicas(1)
    // The pass with which a store opens is over: it would remove the room before the other import begins.
    await each(stores, 0).prune()
    const header = { roomId: ROOM, version: '10', ownServer: HERE, discardKnocks: false }
    await (await each(stores, 0).beginImport(header)).abort()
    const beginning = schema.query(`
      BEGIN;
      UPDATE rooms SET room_id = room_id;
      INSERT INTO snapshots (room, phase, changed_at, version, own_server, discard_knocks)
        SELECT room, 'staging', 9e15, '10', '', false FROM rooms;
      SELECT pg_sleep(1);
      COMMIT`)
    await untilLocked(schema)
    await each(stores, 0).prune()
    await beginning
    expect(await schema.rows()).toMatchObject({ rooms: 1, snapshots: 1 })
  })
})

describe('upkeep by several processes', () => {
  it('is done by one at a time, and by another when that one is gone', async () => {
    let now = 1_700_000_000_000
    const schema = await temporaryStore()
    const options = { clock: () => now, historyMs: DAY, maxRefusals: 5 }
    const [first, second] = [await schema.open(options), await schema.open(options)]
    await Promise.all([first.prune(), second.prune()])
    await importRoom(first)
    await importRoom(first)
    for (let time = 0; time < 20; time++) first.recordDecision(decision({ time, outcome: 'refused' }))
    await first.listDecisions({ limit: 1 })
    now += DAY
    const held = schema.query(`
      BEGIN; SELECT pg_advisory_xact_lock(1802396012, hashtext(current_schema())); SELECT pg_sleep(1); COMMIT`)
    await untilLocked(schema)
    await second.prune()
    expect(await schema.rows()).toMatchObject({ snapshots: 2, decisions: 20 })
    await held
    await second.prune()
    expect(await schema.rows()).toMatchObject({ snapshots: 1, decisions: 5 })
  })
})

describe('deliveries of several processes', () => {
  const manyServers = Array.from({ length: 120 }, (_, at) => member(`m${at}`, `@m:s${at}.test`, 'join'))

  it('go to each destination from one of them', { timeout: 60_000 }, async () => {
    const { stores, schema } = await replicas(3)
    await importRoom(each(stores, 0), { state: [...sampleState(), ...manyServers] })
    for (let at = 0; at < 5; at++) await accept(each(stores, at), knock(`k${at}`, userOf(at), ['bob']))
    await Promise.all(
      stores.map(async (store) => {
        while (await store.expand());
      }),
    )
    while (await each(stores, 0).expand());
    expect(await schema.rows()).toMatchObject({ outbox: 0, destinations: 121, deliveries: 605 })
    const holders = new Map<ServerName, number>()
    let delivered = 0
    const work = async (store: PostgresStore) => {
      for (let idle = 0; idle < 5; ) {
        const claimed = await store.claim(Date.now(), 7)
        idle = claimed.length === 0 ? idle + 1 : 0
        for (const { destination } of claimed) {
          expect(holders.has(destination), destination).toBe(false)
          holders.set(destination, 1)
        }
        await pause(2)
        for (const { destination, txnId, events } of claimed) {
          expect(events).toHaveLength(5)
          delivered += events.length
          holders.delete(destination)
          await store.delivered(destination, txnId)
        }
      }
    }
    await Promise.all(stores.map(work))
    expect(delivered).toBe(605)
    expect(await schema.rows()).toMatchObject({ destinations: 0, deliveries: 0, claims: 0 })
  })

  it('are claimed once also where two look for them at the same time, and long', { timeout: 60_000 }, async () => {
    const { stores, schema } = await replicas(4)
    // Held by a process that lives, and due before the one that is free: all are looked at first.
    await schema.query(`
      INSERT INTO destinations (destination, due_at, waiting, oldest_at)
        SELECT convert_to('s' || s, 'UTF8'), s, 1, 0 FROM generate_series(1, 5000) s;
      INSERT INTO claims SELECT destination, gen_random_uuid(), gen_random_uuid(), 'infinity', 'x' FROM destinations;
      INSERT INTO destinations (destination, due_at, waiting, oldest_at) VALUES ('free.test', 9000, 1, 0)`)
    for (let round = 0; round < 20; round++) {
      const claimed = (await Promise.all(stores.map((store) => store.claim(10_000, 1)))).flat()
      expect(claimed.map(({ destination }) => destination)).toEqual(['free.test'])
      await schema.query(`DELETE FROM claims WHERE destination = 'free.test'`)
    }
  })

  it('of one that is gone are taken over when its last sign of life is old, with the same transaction', async () => {
    const { stores, schema } = await replicas(2)
    await importRoom(each(stores, 0))
    await accept(each(stores, 0), knock('k', CAROL, ['bob']))
    while (await each(stores, 0).expand());
    const [held] = await each(stores, 0).claim(Date.now(), 5)
    expect(await each(stores, 1).claim(Date.now(), 5)).toEqual([])
    expect(await each(stores, 1).nextDue()).toBeUndefined()
    await schema.query(`UPDATE claims SET seen_at = seen_at - interval '11 seconds'`)
    expect(await each(stores, 1).nextDue()).toBeDefined()
    const [taken] = await each(stores, 1).claim(Date.now(), 5)
    expect(taken).toEqual(held)
    // The first one was only slow: its answer counts, and ends nobody else's claim.
    await each(stores, 0).failed(THERE, held?.txnId ?? '', { retryAt: 1, reason: 'too late' })
    expect((await each(stores, 0).listDeliveries(undefined, 1))[0]).toMatchObject({ attempts: 0 })
    await each(stores, 0).delivered(THERE, held?.txnId ?? '')
    await accept(each(stores, 0), knock('k2', userOf(1), ['bob']))
    while (await each(stores, 0).expand());
    expect(await each(stores, 0).claim(Date.now(), 5)).toEqual([])
    await each(stores, 1).delivered(THERE, taken?.txnId ?? '')
    expect(await each(stores, 0).claim(Date.now(), 5)).toHaveLength(1)
  })

  it('are free at once when a process ends in good order', async () => {
    const { stores } = await replicas(2)
    await importRoom(each(stores, 0))
    await accept(each(stores, 0), knock('k', CAROL, ['bob']))
    while (await each(stores, 0).expand());
    expect(await each(stores, 0).claim(Date.now(), 5)).toHaveLength(1)
    await each(stores, 0).close()
    expect(await each(stores, 1).claim(Date.now(), 5)).toHaveLength(1)
  })

  it('are held as long as signs of life come', { timeout: 30_000 }, async () => {
    const { stores, schema } = await replicas(2)
    await importRoom(each(stores, 0))
    await accept(each(stores, 0), knock('k', CAROL, ['bob']))
    while (await each(stores, 0).expand());
    await each(stores, 0).claim(Date.now(), 5)
    await schema.query(`UPDATE claims SET seen_at = seen_at - interval '9 seconds'`)
    const deadline = Date.now() + 10_000
    const old = () => schema.query(`SELECT 1 FROM claims WHERE seen_at < clock_timestamp() - interval '5 seconds'`)
    while ((await old()).length > 0 && Date.now() < deadline) await pause(50)
    expect(await old()).toEqual([])
    expect(await each(stores, 1).claim(Date.now(), 5)).toEqual([])
  })

  it('are of every knock once, whoever turns them into rows, in rooms of many servers', {
    timeout: 60_000,
  }, async () => {
    const { stores, schema } = await replicas(4)
    const rooms = ['!a:here.test', '!b:here.test', '!c:here.test'] as RoomId[]
    for (const roomId of rooms) {
      await importRoom(each(stores, 0), { state: [...sampleState(), ...manyServers], header: { roomId } })
    }
    for (let at = 0; at < 12; at++) {
      const room = rooms[at % 3] ?? ROOM
      await accept(each(stores, at), knock(`k${at}`, userOf(at), ['bob']), room)
    }
    for (let left = 1; left > 0; left = (await schema.rows()).outbox ?? 0) {
      await Promise.all(stores.map((store) => store.expand()))
    }
    expect(await schema.rows()).toMatchObject({ deliveries: 12 * 121, destinations: 121 })
    const waiting = await schema.query<{ waiting: string }>('SELECT DISTINCT waiting FROM destinations')
    expect(waiting.map((row) => Number(row.waiting))).toEqual([12])
  })
})

/** Until a session sleeps while it holds what it locked. */
async function untilLocked(schema: TemporaryStore): Promise<void> {
  const deadline = Date.now() + 10_000
  const sleeping = () =>
    schema.query(`
      SELECT 1 FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid LEFT JOIN pg_class c ON c.oid = l.relation
      WHERE a.wait_event = 'PgSleep' AND (c.relnamespace = current_schema()::regnamespace
        OR l.locktype = 'advisory' AND l.objid::bigint = hashtext(current_schema()) & 4294967295::bigint)`)
  while ((await sleeping()).length === 0) {
    if (Date.now() > deadline) throw new Error('nobody holds the lock')
    await pause(5)
  }
}
