import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { ServerName, UserId } from '../../../src/matrix/identifiers.ts'
import type { PostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres-server.ts'
import { startTcpProxy } from '../../support/tcp-proxy.ts'
import {
  accept,
  CAROL,
  commitOf,
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

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ fsync: 'on', synchronous_commit: 'on' })
})
afterAll(() => server.remove())

const userOf = (at: number) => `@u${at}:remote.test` as UserId

/** Knocks of one user after the other, until told to stop; what was answered. */
async function knockOn(store: PostgresStore, from: number, going: () => boolean) {
  const answers = new Map<number, string>()
  for (let at = from; going(); at += 100) {
    const outcome = await store.commitKnock(commitOf(knock(`k${at}`, userOf(at), ['bob']), 1))
    answers.set(at, outcome.kind)
  }
  return answers
}

/** What must hold of the tables whatever happened. */
async function expectConsistent(schema: TemporaryStore, committed: readonly number[]): Promise<void> {
  const ids = await schema.query<{ id: string; n: string }>(
    `SELECT convert_from(event_id, 'UTF8') AS id, count(*) AS n FROM events WHERE snapshot = 0 GROUP BY 1`,
  )
  const recorded = new Map(ids.map(({ id: name, n }) => [name, Number(n)]))
  for (const at of committed) expect(recorded.get(id(`k${at}`)), `k${at}`).toBe(1)
  expect([...recorded.values()].every((n) => n === 1)).toBe(true)
  const n = recorded.size
  const [head] = await schema.query<{ revision: string }>('SELECT revision FROM rooms')
  expect(Number(head?.revision)).toBe(n + 1)
  const tables = { knocks: n, decisions: n, outbox: n, extremities: n + 1 }
  expect(await schema.rows()).toMatchObject(tables)
  const revisions = await schema.query<{ r: string }>('SELECT revision AS r FROM events WHERE snapshot = 0 ORDER BY 1')
  expect(revisions.map(({ r }) => Number(r))).toEqual(Array.from({ length: n }, (_, at) => at + 2))
  const open = await schema.query<{ n: string }>('SELECT count(*) AS n FROM extremities WHERE to_revision IS NULL')
  expect(Number(open[0]?.n)).toBe(n)
}

function committedOf(answers: readonly ReadonlyMap<number, string>[]): readonly number[] {
  return answers.flatMap((some) => [...some].filter(([, kind]) => kind === 'committed').map(([at]) => at))
}

describe('a server that goes away while knocks are recorded', () => {
  it.each(['fast', 'immediate'] as const)(
    'with an end that is %s: all are answered, none is lost, none is there twice',
    {
      timeout: 120_000,
    },
    async (how) => {
      const schema = await temporaryStore(server.url)
      const store = await schema.open({ patienceMs: 30_000 })
      await importRoom(store)
      let going = true
      const knocking = Array.from({ length: 8 }, (_, from) => knockOn(store, from, () => going))
      for (let round = 0; round < 2; round++) {
        await pause(300)
        await server.stop(how)
        await pause(100)
        await server.start()
      }
      await pause(300)
      going = false
      const answers = await Promise.all(knocking)
      const all = answers.flatMap((some) => [...some.values()])
      expect(new Set(all)).toEqual(new Set(['committed']))
      await expectConsistent(schema, committedOf(answers))
    },
  )

  it('makes the store unready, with a reason, and ready again; and a caller gets an answer in time', {
    timeout: 60_000,
  }, async () => {
    const schema = await temporaryStore(server.url)
    const store = await schema.open({ patienceMs: 300 })
    await importRoom(store)
    await server.stop('fast')
    expect(await store.check()).toEqual({ ok: false, reason: expect.stringMatching(/^the store cannot be read: /) })
    await expect(store.readRoom(ROOM, CAROL)).rejects.toThrow(/refuses connections \(ECONNREFUSED\)/)
    const outcome = await accept({ ...store, readRoom: async () => undefined }, knock('away', CAROL, ['bob']))
    expect(outcome).toMatchObject({ kind: 'failed', reason: expect.stringMatching(/ECONNREFUSED/) })
    const staging = store.beginImport({ roomId: ROOM, version: '10', ownServer: HERE, discardKnocks: false })
    await expect(staging).rejects.toThrow(/ECONNREFUSED/)
    await server.start()
    const deadline = Date.now() + 20_000
    while (!(await store.check()).ok && Date.now() < deadline) await pause(20)
    expect(await store.check()).toEqual({ ok: true })
    expect((await accept(store, knock('back', CAROL, ['bob']))).kind).toBe('committed')
  })

  it('is waited for by readers', { timeout: 60_000 }, async () => {
    const schema = await temporaryStore(server.url)
    const store = await schema.open({ patienceMs: 30_000 })
    await importRoom(store)
    await server.stop('immediate')
    const reading = Promise.all([store.readRoom(ROOM, CAROL), store.readFacts(ROOM), store.readExtremities(ROOM)])
    await pause(100)
    await server.start()
    const [room, facts, selection] = await reading
    expect([room?.head.revision, facts?.factsRevision, selection?.revision]).toEqual([1, 1, 1])
  })
})

describe('connections that are cut in the middle', () => {
  /** Cuts connections of the store, whatever they are doing. */
  const cut = (schema: TemporaryStore) =>
    schema.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'matrix-knock' AND state <> 'idle'`,
    )

  it('lose no knock and record none twice', { timeout: 120_000 }, async () => {
    const schema = await temporaryStore(server.url)
    const store = await schema.open({ patienceMs: 30_000 })
    await importRoom(store)
    let going = true
    const knocking = Array.from({ length: 8 }, (_, from) => knockOn(store, from, () => going))
    let cuts = 0
    for (let round = 0; round < 60; round++) {
      cuts += (await cut(schema)).length
      await pause(15)
    }
    going = false
    const answers = await Promise.all(knocking)
    expect(cuts).toBeGreaterThan(5)
    expect(new Set(answers.flatMap((some) => [...some.values()]))).toEqual(new Set(['committed']))
    await expectConsistent(schema, committedOf(answers))
  })

  it('spoil no import: it is staged and swapped once, with the knocks that were there', {
    timeout: 120_000,
  }, async () => {
    const schema = await temporaryStore(server.url)
    const store = await schema.open({ patienceMs: 30_000 })
    await importRoom(store)
    for (let at = 0; at < 150; at++) await accept(store, knock(`k${at}`, userOf(at), ['bob']))
    const crowd = Array.from({ length: 3_000 }, (_, at) => member(`m${at}`, `@m${at}:s${at % 40}.test`, 'join'))
    let importing = true
    const imported = importRoom(store, { state: [...sampleState(), ...crowd] }).finally(() => {
      importing = false
    })
    let cuts = 0
    // Further and further apart: however slow the machine is, a chunk is written between two of them before patience ends.
    for (let gapMs = 20; importing; gapMs *= 1.1) {
      cuts += (await cut(schema)).length
      await pause(gapMs)
    }
    expect(await imported).toEqual({ kind: 'imported', revision: 152, keptKnocks: 150, droppedKnocks: 0 })
    expect(cuts).toBeGreaterThan(0)
    expect(await store.roomSummary(ROOM)).toMatchObject({ members: 3_002, servers: 42, extremities: 151 })
    expect(await membershipOf(store, userOf(149))).toBe('knock')
  })
})

describe('a way to the server that fails', () => {
  it('after a commit, before its answer: the knock is recorded once, told as committed and delivered once', async () => {
    const proxy = await startTcpProxy(server.port)
    onTestFinished(() => proxy.close())
    const schema = await temporaryStore(server.url)
    const store = await schema.open({ url: through(schema.url, proxy.port), poolSize: 1 })
    let told = 0
    store.onEnqueued(() => told++)
    await importRoom(store)
    await accept(store, knock('first', CAROL, ['bob']))
    proxy.loseNextAnswer()
    const commits = [knock('k', userOf(1), ['bob']), knock('l', userOf(2), ['bob'])].map((event) => commitOf(event, 1))
    const outcomes = await Promise.all(commits.map((commit) => store.commitKnock(commit)))
    expect(proxy.lost()).toBe(1)
    expect(outcomes).toEqual([
      { kind: 'committed', revision: 3 },
      { kind: 'committed', revision: 4 },
    ])
    expect(await store.commitKnock(commitOf(knock('k', userOf(1), ['bob']), 1))).toEqual({ kind: 'duplicate' })
    expect(told).toBe(3)
    expect(await schema.rows()).toMatchObject({ outbox: 3, decisions: 3, knocks: 3 })
  })

  it('after a claim, before its answer: what was claimed is given to the caller, at once or the next time', async () => {
    const proxy = await startTcpProxy(server.port)
    onTestFinished(() => proxy.close())
    const schema = await temporaryStore(server.url)
    const store = await schema.open({ url: through(schema.url, proxy.port), poolSize: 1, patienceMs: 1_000 })
    await importRoom(store)
    await accept(store, knock('k', CAROL, ['bob']))
    while (await store.expand());
    proxy.loseNextAnswer()
    const [first, ...more] = await store.claim(Date.now(), 5)
    expect([proxy.lost(), first?.destination, more]).toEqual([1, 'there.test', []])
    await store.release('there.test' as ServerName, first?.txnId ?? '')
    proxy.loseAllAnswers()
    await expect(store.claim(Date.now(), 5)).rejects.toThrow(/lost/)
    proxy.loseNoMore()
    expect(await store.claim(Date.now(), 5)).toEqual([first])
    expect(await store.claim(Date.now(), 5)).toEqual([])
  })

  it('after a swap, before its answer: the import is told as what it was', async () => {
    const proxy = await startTcpProxy(server.port)
    onTestFinished(() => proxy.close())
    const schema = await temporaryStore(server.url)
    const store = await schema.open({ url: through(schema.url, proxy.port) })
    await importRoom(store)
    await accept(store, knock('k', CAROL, ['bob']))
    const staging = await store.beginImport({ roomId: ROOM, version: '10', ownServer: HERE, discardKnocks: false })
    await staging.addState(sampleState().map((event) => ({ ...event, verified: true })))
    await staging.addExtremities(sampleState().slice(-1))
    proxy.loseAnswerTo('swap-update-room')
    expect(await staging.swap()).toEqual({ kind: 'imported', revision: 3, keptKnocks: 1, droppedKnocks: 0 })
    expect(proxy.lost()).toBe(1)
    expect(await store.roomSummary(ROOM)).toMatchObject({ revision: 3, extremities: 2 })
  })

  it('without a word: a caller is told so in time', { timeout: 30_000 }, async () => {
    const proxy = await startTcpProxy(server.port)
    onTestFinished(() => proxy.close())
    const schema = await temporaryStore(server.url)
    const store = await schema.open({ url: through(schema.url, proxy.port), statementTimeoutMs: 100, patienceMs: 300 })
    await importRoom(store)
    proxy.fallSilent()
    const start = Date.now()
    await expect(store.readRoom(ROOM, CAROL)).rejects.toThrow(/connection to the database was lost/)
    expect(Date.now() - start).toBeLessThan(10_000)
  })
})

/** The same database by another port. */
function through(url: string, port: number): string {
  const changed = new URL(url)
  changed.port = String(port)
  return changed.href
}
