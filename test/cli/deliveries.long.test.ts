import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Store } from '../../src/knock/ports/store.ts'
import type { ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { accept, id, importRoom, knock, member, ROOM, sampleState } from '../store/sample-room.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startFakeHomeserver } from '../support/fake-homeserver.ts'
import { makeKnock } from '../support/remote-knocker.ts'
import { person } from '../support/test-room.ts'
import { startTlsServer, type TlsServer } from '../support/tls-server.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'
import { type RunningProcess, startProcess } from './running.ts'

const GONE = 'gone.test' as ServerName

let work: Workplace
beforeEach(async () => {
  work = await openWorkplace()
})
afterEach(() => work.remove())

async function onStore(use: (store: Store) => Promise<unknown>): Promise<void> {
  const store = await openSqliteStore({ path: work.at('knock.db'), clock: Date.now })
  try {
    await use(store)
  } finally {
    await store.close()
  }
}

let enqueued = 0

/** A room with a member of each of these servers, and knocks that wait for them. */
async function enqueue(store: Store, servers: readonly string[], knocks: number): Promise<void> {
  const others = servers.map((server, at) => member(`m${at}`, `@x:${server}`, 'join'))
  await importRoom(store, { state: [...sampleState().slice(0, 4), ...others] })
  for (let at = 0; at < knocks; at++) {
    const name = `k${enqueued++}`
    await accept(store, knock(name, `@${name}:remote.test` as UserId, ['bob']))
  }
}

async function fail(store: Store, server: ServerName, retryAt: number): Promise<void> {
  while (await store.expand());
  for (const { destination, txnId } of await store.claim(Date.now(), 100)) {
    if (destination === server) await store.failed(destination, txnId, { retryAt, reason: 'ECONN\u202eREFUSED' })
    else await store.release(destination, txnId)
  }
}

describe('deliveries', { timeout: 20_000 }, () => {
  let config: string
  beforeEach(async () => {
    config = await work.configure()
  })

  it('list says so when nothing waits', async () => {
    expect(await work.run('deliveries', 'list', '-c', config)).toMatchObject({
      code: 0,
      out: 'Nothing waits for delivery.\n',
    })
    expect(await work.run('deliveries', 'list', '--json', '-c', config)).toMatchObject({ code: 0, out: '[]\n' })
  })

  it('list tells of each server what waits and why, for people and as JSON', async () => {
    const retryAt = Date.now() + 60_000
    await onStore(async (store) => {
      await enqueue(store, ['there.test', GONE], 3)
      await fail(store, GONE, retryAt)
    })
    const { code, out } = await work.run('deliveries', 'list', '-c', config)
    expect(code).toBe(0)
    const [head = '', gone = '', there = ''] = out.split('\n')
    expect(head.split(/ {2,}/)).toEqual(['SERVER', 'WAITING', 'FAILURES', 'NEXT', 'OLDEST', 'LAST FAILURE'])
    const next = new Date(retryAt).toISOString()
    expect(gone).toMatch(new RegExp(`^gone\\.test +3 +1 +${next} +\\S+Z +ECONN\\\\u\\{202e\\}REFUSED$`))
    expect(there).toMatch(/^there\.test +3 +0 +\S+Z +\S+Z +-$/)
    const list = JSON.parse((await work.run('deliveries', 'list', '--json', '-c', config)).out)
    expect(list[0]).toEqual({
      ...{ destination: GONE, waiting: 3, failures: 1, next_attempt: next, last_failure: 'ECONN\u202eREFUSED' },
      oldest: expect.stringMatching(/Z$/),
    })
    expect(list[1]).toMatchObject({ destination: 'there.test', last_failure: null })
  })

  it('retry makes one server due, or all', async () => {
    const retryAt = Date.now() + 60_000
    await onStore(async (store) => {
      await enqueue(store, ['there.test', GONE], 1)
      await fail(store, GONE, retryAt)
    })
    const next = async () => JSON.parse((await work.run('deliveries', 'list', '--json', '-c', config)).out)[0]
    const one = await work.run('deliveries', 'retry', GONE, '-c', config)
    expect(one).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^gone\.test is tried again now, with 1 knock \(oldest of/),
    })
    expect(Date.parse((await next()).next_attempt)).toBeLessThan(retryAt - 10_000)
    await onStore((store) => fail(store, GONE, retryAt))
    expect(await work.run('deliveries', 'retry', '--all', '-c', config)).toMatchObject({
      code: 0,
      out: 'Servers that are tried again now: 1.\n',
    })
    expect(Date.parse((await next()).next_attempt)).toBeLessThan(retryAt - 10_000)
    expect((await work.run('deliveries', 'retry', '--all', '-c', config)).out).toMatch(/^No server waits/)
  })

  it('drop says what it dropped, and leaves the others', async () => {
    await onStore(async (store) => {
      await enqueue(store, ['there.test', GONE], 2)
      await fail(store, GONE, Date.now() + 60_000)
    })
    const { code, out } = await work.run('deliveries', 'drop', GONE, '-c', config)
    expect(code).toBe(0)
    expect(out).toMatch(/^Dropped 2 knocks for gone\.test \(oldest of \S+Z, /)
    expect(out).toContain('failures: 1, the last: ECONN\\u{202e}REFUSED).')
    const left = JSON.parse((await work.run('deliveries', 'list', '--json', '-c', config)).out)
    expect(left).toMatchObject([{ destination: 'there.test', waiting: 2 }])
  })

  it('show tells what waits for a server: which knocks of which rooms, how large, since when, in which transaction', async () => {
    let txnId: string | undefined
    const first = enqueued
    await onStore(async (store) => {
      await enqueue(store, ['there.test', GONE], 2)
      await fail(store, GONE, Date.now() + 60_000)
      const [waiting] = await store.listWaiting(GONE, 0, 1)
      txnId = waiting?.txnId
      await enqueue(store, ['there.test', GONE], 1)
    })
    const { code, out } = await work.run('deliveries', 'show', GONE, '-c', config)
    expect(code).toBe(0)
    const lines = out.split('\n')
    expect(lines[1]).toMatch(/^gone\.test +3 +1 +\S+Z +\S+Z +ECONN\\u\{202e\}REFUSED$/)
    expect(lines[3]?.split(/ {2,}/)).toEqual(['EVENT', 'ROOM', 'BYTES', 'SINCE', 'TRANSACTION'])
    expect(lines[4]).toMatch(new RegExp(`^\\$k${first}_+ +${ROOM} +\\d+ +\\S+Z +${txnId}$`))
    expect(lines[6]).toMatch(new RegExp(`^\\$k${first + 2}_+ +${ROOM} +\\d+ +\\S+Z +-$`))
    const shown = JSON.parse((await work.run('deliveries', 'show', GONE, '--json', '-c', config)).out)
    expect(shown).toMatchObject({ destination: GONE, waiting: 3, failures: 1, last_failure: 'ECONN\u202eREFUSED' })
    expect(shown.events).toHaveLength(3)
    expect(shown.events[0]).toEqual({
      ...{ event_id: id(`k${first}`), room_id: ROOM, transaction: txnId },
      ...{ bytes: expect.any(Number), since: expect.stringMatching(/Z$/) },
    })
    expect(shown.events[2].transaction).toBeNull()
  })

  it('drop --event drops that one alone, for that server alone', async () => {
    const first = enqueued
    await onStore((store) => enqueue(store, ['there.test', GONE], 3))
    const event = id(`k${first + 1}`)
    expect(await work.run('deliveries', 'drop', GONE, '--event', event, '-c', config)).toMatchObject({
      ...{ code: 0, out: `Dropped ${event} for gone.test.\n`, err: '' },
    })
    const shown = async (server: string) =>
      JSON.parse((await work.run('deliveries', 'show', server, '--json', '-c', config)).out).events.map(
        ({ event_id }: { event_id: string }) => event_id,
      )
    expect(await shown(GONE)).toEqual([id(`k${first}`), id(`k${first + 2}`)])
    expect(await shown('there.test')).toHaveLength(3)
    expect(await work.run('deliveries', 'drop', GONE, '--event', event, '-c', config)).toMatchObject({
      ...{ code: 1, out: '', err: expect.stringContaining(`${event} does not wait for gone.test`) },
    })
    expect(await work.run('deliveries', 'drop', GONE, '--event', '$no', '-c', config)).toMatchObject({
      ...{ code: 2, out: '', err: expect.stringContaining('is no event id') },
    })
  })

  it.each([
    ['show', [GONE], 1, /Nothing waits for gone\.test/],
    ['show', ['@no'], 2, /no server name/],
    ['show', [], 2, /missing required argument/],
    ['drop', [GONE, '--event', `$${'x'.repeat(43)}`], 1, /Nothing waits for gone\.test/],
    ['retry', [GONE], 1, /Nothing waits for gone\.test/],
    ['drop', [GONE], 1, /Nothing waits for gone\.test/],
    ['retry', ['@no'], 2, /no server name/],
    ['drop', ['@no'], 2, /no server name/],
    ['retry', [], 2, /either a destination or --all/],
    ['retry', [GONE, '--all'], 2, /either a destination or --all/],
    ['drop', [], 2, /missing required argument/],
  ])('%s %j exits with %i', async (command, rest, code, err) => {
    expect(await work.run('deliveries', command, ...rest, '-c', config)).toMatchObject({
      code,
      out: '',
      err: expect.stringMatching(err),
    })
  })
})

describe('deliveries beside a running service', { timeout: 40_000 }, () => {
  let destination: TlsServer
  let name: ServerName
  let config: string
  let status: number
  const running: RunningProcess[] = []

  beforeEach(async () => {
    const authority = createCertificateAuthority()
    destination = await startTlsServer(authority.issue(['127.0.0.1']))
    destination.answer = (_visit, response) => response.writeHead(status).end('{}')
    name = `127.0.0.1:${destination.port}` as ServerName
    await writeFile(work.at('ca.pem'), authority.cert)
    config = await work.configure({ federation: { ca_path: [work.at('ca.pem')], ip_range_allowlist: ['127.0.0.0/8'] } })
    await onStore((store) => enqueue(store, [name], 1))
  })
  afterEach(async () => {
    for (const one of running.splice(0)) await one.stop('SIGKILL')
    await destination.close()
  })

  async function start(): Promise<RunningProcess> {
    const service = startProcess(config)
    running.push(service)
    await service.listening()
    return service
  }
  const list = async () => JSON.parse((await work.run('deliveries', 'list', '--json', '-c', config)).out)
  const until = (condition: () => unknown) => vi.waitFor(condition, { timeout: 15_000, interval: 50 })

  it('G3 a service that is killed knows afterwards what it sent, how often it failed and when it is due', async () => {
    status = 500
    const service = await start()
    await until(() => expect(destination.visits.length).toBeGreaterThanOrEqual(2))
    await until(async () => expect((await list())[0].failures).toBeGreaterThanOrEqual(2))
    await service.stop('SIGKILL')
    const [before] = await list()
    expect(before.last_failure).toBe('the server answers 500')
    const sent = destination.visits.length
    await start()
    status = 200
    await until(async () => expect(await list()).toEqual([]))
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(before.next_attempt))
    expect(destination.visits).toHaveLength(sent + 1)
    const [first, ...others] = destination.visits
    for (const visit of others) expect([visit.path, visit.body]).toEqual([first?.path, first?.body])
  })

  it('retry is seen by the service within five seconds', async () => {
    status = 503
    destination.answer = (_visit, response) => response.writeHead(status, { 'retry-after': '3000' }).end('{}')
    await start()
    await until(async () => expect((await list())[0].failures).toBe(1))
    status = 200
    expect((await work.run('deliveries', 'retry', name, '-c', config)).code).toBe(0)
    const asked = Date.now()
    await until(async () => expect(await list()).toEqual([]))
    expect(Date.now() - asked).toBeLessThan(5_000)
  })

  it('G3 a server that sends a request is sent at once what waited for it', async () => {
    const authority = createCertificateAuthority()
    await writeFile(work.at('ca.pem'), authority.cert)
    const publicKeyOf = () => work.identity.publicKey
    const back = await startFakeHomeserver({ authority, publicKeyOf })
    try {
      const gone = back.name as ServerName
      await onStore(async (store) => {
        await enqueue(store, [gone], 3)
        await fail(store, gone, Date.now() + 3_600_000)
        await store.drop(name)
      })
      const { port } = await (await start()).listening()
      await until(async () => expect((await list())[0]).toMatchObject({ destination: gone, failures: 1 }))
      expect(back.attempts).toEqual([])
      const room = { roomId: ROOM, version: '10' }
      expect((await makeKnock({ port, identity: work.identity }, person('kim', back.identity), room)).status).not.toBe(
        401,
      )
      const heard = Date.now()
      await until(() => expect(back.received.flatMap(({ eventIds }) => eventIds)).toHaveLength(3))
      expect(Date.now() - heard).toBeLessThan(5_000)
      expect(back.complaints).toEqual([])
    } finally {
      await back.close()
    }
  })

  it('drop --event beside the service lets the others through, under another id', async () => {
    destination.answer = (visit, response) => response.writeHead(visit.body.includes('@k') ? status : 200).end('{}')
    status = 500
    await onStore((store) => enqueue(store, [name], 2))
    await start()
    await until(async () => expect((await list())[0].failures).toBeGreaterThan(0))
    const shown = JSON.parse((await work.run('deliveries', 'show', name, '--json', '-c', config)).out)
    const [first, ...rest] = shown.events
    expect(rest).toHaveLength(2)
    expect(destination.visits[0]?.path).toContain(first.transaction)
    expect((await work.run('deliveries', 'drop', name, '--event', first.event_id, '-c', config)).code).toBe(0)
    status = 200
    await work.run('deliveries', 'retry', name, '-c', config)
    await until(async () => expect(await list()).toEqual([]))
    const last = destination.visits.at(-1)
    expect(last?.path).not.toContain(first.transaction)
    expect(JSON.parse(last?.body ?? '').pdus).toHaveLength(2)
  })

  it('G3 a knock that the server refuses is dropped for it, logged and counted; the others arrive', async () => {
    await onStore((store) => enqueue(store, [name], 4))
    const refused = `@k${enqueued - 2}:`
    destination.answer = (visit, response) => response.writeHead(visit.body.includes(refused) ? 400 : 200).end('{}')
    const service = await start()
    await until(async () => expect(await list()).toEqual([]))
    const dropped = () =>
      service
        .output()
        .split('\n')
        .filter((text) => text.includes('"dropped a knock'))
    await until(() => expect(dropped()).toHaveLength(1))
    expect(JSON.parse(dropped()[0] ?? '{}')).toMatchObject({
      ...{ destination: name, event: id(`k${enqueued - 2}`), reason: 'the server answers 400' },
    })
    const { adminPort } = await service.listening()
    const metrics = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
    expect(metrics).toContain('matrix_knock_refused_events_total 1')
    expect(metrics).toContain('matrix_knock_delivered_events_total 4')
  })

  it('drop ends the attempts of the service', async () => {
    status = 500
    const service = await start()
    await until(async () => expect((await list())[0].failures).toBeGreaterThan(0))
    await work.run('deliveries', 'drop', name, '-c', config)
    expect(await list()).toEqual([])
    expect(await service.stop()).toBe(0)
    expect(service.output()).not.toContain('"level":50')
  })
})
