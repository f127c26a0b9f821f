import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createDeliveryWorker, type DeliveryWorker } from '../../../src/federation/delivery/worker.ts'
import type { Federation } from '../../../src/federation/federation.ts'
import type { ServerName } from '../../../src/matrix/identifiers.ts'
import { startWorld, type World } from '../key-fixture.ts'
import { createTestOutbox, type TestOutbox } from './outbox-fixture.ts'

/** One delivery may take so long here. */
const TIMEOUT_MS = 2_000
const ENDLESS = 64 * 1024

/** What a destination does when a transaction has come. */
type Fault = (response: ServerResponse) => void

const says =
  (status: number, headers: Record<string, string> = {}): Fault =>
  (response) =>
    response.writeHead(status, headers).end('{}')

/** Writes a piece again and again, as fast as it is taken or at a pace. */
function repeats(response: ServerResponse, piece: string, everyMs: number): void {
  const { socket } = response
  const timer = setInterval(() => socket?.write(piece), everyMs)
  socket?.once('close', () => clearInterval(timer))
  socket?.on('error', () => {})
}

const FAULTS: readonly (readonly [string, Fault, RegExp])[] = [
  ['hangs', () => {}, /no answer in time/],
  ['resets the connection', (response) => response.socket?.destroy(), /UND_ERR_SOCKET|ECONNRESET/],
  ['answers garbage', (response) => response.socket?.write('\0\u0001\u0002 garbage\r\n\r\n'), /HTTPParserError/],
  ['answers 500', says(500), /answers 500/],
  ['answers 429', says(429, { 'retry-after': '1' }), /answers 429/],
  ['redirects', says(307, { location: 'https://healthy.example.test/' }), /answers 307/],
  [
    'trickles its answer',
    (response) => {
      response.socket?.write('HTTP/1.1 200 OK\r\nX-Slow: ')
      repeats(response, 'a', 50)
    },
    /no answer in time/,
  ],
  [
    'sends headers without end',
    (response) => {
      response.socket?.write('HTTP/1.1 200 OK\r\n')
      repeats(response, `X-Long: ${'a'.repeat(1_000)}\r\n`, 1)
    },
    /UND_ERR_HEADERS_OVERFLOW|HPE_HEADER_OVERFLOW/,
  ],
  [
    'sends a body without end',
    (response) => {
      response.writeHead(500).flushHeaders()
      repeats(response, `${ENDLESS.toString(16)}\r\n${' '.repeat(ENDLESS)}\r\n`, 1)
    },
    /larger than/,
  ],
]

describe('destinations that are faulty', { timeout: 20_000 }, () => {
  let world: World
  let outbox: TestOutbox
  let federation: Federation
  let worker: DeliveryWorker
  const faults = new Map<string, Fault>()
  /** `server event`, for each that was dropped. */
  const refused: string[] = []

  beforeEach(async () => {
    faults.clear()
    refused.length = 0
    world = await startWorld()
    world.machine.answer = ({ host = '' }, response) => (faults.get(host) ?? says(200))(response)
    outbox = createTestOutbox(world.now)
    start()
  })
  afterEach(async () => {
    await worker.stop(0)
    await world.close()
  })

  function start(timeoutMs = TIMEOUT_MS): void {
    federation = world.federation()
    worker = createDeliveryWorker({
      ...{ queue: outbox, sender: federation.sender, clock: world.now, random: () => 0.5 },
      observer: {
        ...{ delivered: () => {}, failed: () => {}, gaveUp: () => {} },
        ...{ halved: () => {}, fault: expect.unreachable },
        refused: (destination, event) => refused.push(`${destination} ${event}`),
      },
      ...{ timeoutMs, firstBackoffMs: 400, maxBackoffMs: 1_000 },
    })
    worker.start()
  }

  const until = (condition: () => void | Promise<void>) => vi.waitFor(condition, { timeout: 10_000, interval: 10 })
  const sentTo = (name: string) =>
    world.machine.visits.filter(({ host }) => host === name).map(({ path, body }) => `${path} ${body}`)

  it.each(FAULTS)('G3 one that %s delays no other, and gets the same once it is well', async (_name, fault, reason) => {
    const [faulty, healthy] = [world.name('faulty.example.test'), world.name('healthy.example.test')]
    faults.set(faulty, fault)
    const first = outbox.add(faulty, healthy)
    await until(() => expect(sentTo(faulty)).toHaveLength(1))
    await until(() => expect(outbox.log).toContain(`delivered ${healthy} ${first}`))
    const second = outbox.add(faulty, healthy)
    const enqueued = Date.now()
    await until(() => expect(outbox.log).toContain(`delivered ${healthy} ${second}`))
    expect(Date.now() - enqueued).toBeLessThan(TIMEOUT_MS)
    const failed = () => outbox.log.filter((line) => line.startsWith(`failed ${faulty}`))
    await until(() => expect(failed()).toHaveLength(2))
    for (const line of failed()) expect(line).toMatch(reason)
    faults.clear()
    await until(async () => expect(await outbox.waiting()).toBe(0))
    const deliveries = sentTo(faulty)
    expect(new Set(deliveries.slice(0, -1)).size).toBe(1)
    expect(deliveries.at(-1)).not.toBe(deliveries[0])
    const [kept, next] = outbox.log.filter((line) => line.startsWith(`delivered ${faulty}`))
    expect([kept, next]).toEqual([`delivered ${faulty} ${first}`, `delivered ${faulty} ${second}`])
  })

  it('G3 one that refuses one knock, behind a proxy that refuses large bodies, gets all others once and at once', async () => {
    const [choosy, healthy] = [world.name('choosy.example.test'), world.name('healthy.example.test')]
    const arrived: string[] = []
    await worker.stop(0)
    const ids = Array.from({ length: 30 }, (_, at) =>
      outbox.addText(at === 3 || at === 20 ? 'bad' : `t${at}`, choosy, healthy),
    )
    world.machine.answer = ({ host, body }, response) => {
      if (host === healthy) return says(200)(response)
      if (body.length > 3_000) {
        return response.writeHead(413, { 'content-type': 'text/html' }).end('<html>Too Large</html>')
      }
      if (body.includes('"bad"')) return response.writeHead(400).end('{"errcode":"M_BAD_JSON"}')
      arrived.push(...(JSON.parse(body).pdus as { content: { text: string } }[]).map(({ content }) => content.text))
      return response.end('{"pdus":{}}')
    }
    start()
    await until(async () => expect(await outbox.waiting()).toBe(0))
    expect(refused).toEqual([`${choosy} ${ids[3]}`, `${choosy} ${ids[20]}`])
    expect(arrived).toEqual(ids.map((_, at) => `t${at}`).filter((_, at) => at !== 3 && at !== 20))
    expect(outbox.log.filter((line) => line.startsWith('failed'))).toEqual([])
    expect(sentTo(healthy)).toHaveLength(1)
  })

  it('G3 a hundred at one address that have not answered yet are not waited for by a good one there', async () => {
    await worker.stop(0)
    await federation.close()
    const slow = Array.from({ length: 100 }, (_, at) => world.name(`slow${at}.example.test`))
    for (const name of slow) faults.set(name, () => {})
    outbox.add(...slow)
    const healthy = world.name('healthy.example.test')
    const id = outbox.add(healthy)
    start(60_000)
    // How long a hundred handshakes take is the machine's business: lanes.test.ts has the five seconds.
    await until(() => expect(outbox.log).toContain(`delivered ${healthy} ${id}`))
    await until(() => expect(new Set(world.machine.visits.map(({ host }) => host)).size).toBe(101))
    expect(outbox.log).toHaveLength(1)
  })

  it('G3 all at once delay no other', async () => {
    for (const [at, [, fault]] of FAULTS.entries()) faults.set(world.name(`faulty${at}.example.test`), fault)
    const healthy = world.name('healthy.example.test')
    for (let times = 0; times < 5; times++) {
      const enqueued = Date.now()
      const id = outbox.add(...faults.keys(), healthy)
      await until(() => expect(outbox.log).toContain(`delivered ${healthy} ${id}`))
      expect(Date.now() - enqueued).toBeLessThan(TIMEOUT_MS)
    }
    expect(outbox.log.filter((line) => line.startsWith('delivered faulty'))).toEqual([])
  })

  it('G3 one that takes connections and says nothing, and one where nobody listens, delay no other', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}))
    await once(silent.listen(0, '127.0.0.1'), 'listening')
    const closed = createServer()
    await once(closed.listen(0, '127.0.0.1'), 'listening')
    const ports = [silent, closed].map((server) => (server.address() as AddressInfo).port)
    await once(closed.close(), 'close')
    world.name('dead.example.test')
    const dead = ports.map((port) => `dead.example.test:${port}` as ServerName)
    const healthy = world.name('healthy.example.test')
    const enqueued = Date.now()
    const id = outbox.add(...dead, healthy)
    await until(() => expect(outbox.log).toContain(`delivered ${healthy} ${id}`))
    expect(Date.now() - enqueued).toBeLessThan(TIMEOUT_MS)
    await until(() => expect(outbox.log.filter((line) => line.startsWith('failed'))).not.toHaveLength(0))
    await until(() => expect(outbox.log.some((line) => /^failed .* no answer in time$/.test(line))).toBe(true))
    expect(outbox.log.some((line) => /^failed .* ECONNREFUSED$/.test(line))).toBe(true)
    await worker.stop(0)
    silent.close()
  })

  it('G3 Retry-After is kept to, whatever is heard from the server meanwhile', async () => {
    const limited = world.name('limited.example.test')
    faults.set(limited, says(429, { 'retry-after': '1' }))
    outbox.add(limited)
    await until(() => expect(outbox.log).toHaveLength(1))
    const failedAt = Date.now()
    faults.clear()
    worker.heardFrom(limited)
    await until(async () => expect(await outbox.waiting()).toBe(0))
    expect(Date.now() - failedAt).toBeGreaterThan(900)
  })

  it('G3 stopping in the middle of a delivery sends the same again afterwards', async () => {
    const there = world.name('there.example.test')
    faults.set(there, () => {})
    outbox.add(there)
    await until(() => expect(sentTo(there)).toHaveLength(1))
    await worker.stop(10)
    await federation.close()
    expect(outbox.log).toEqual([])
    faults.clear()
    outbox.add(there)
    start()
    await until(async () => expect(await outbox.waiting()).toBe(0))
    const [before, after, next] = sentTo(there)
    expect(after).toBe(before)
    expect(next).not.toBe(before)
  })
})
