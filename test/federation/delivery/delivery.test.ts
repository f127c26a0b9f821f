import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Federation } from '../../../src/federation/federation.ts'
import type { OutgoingTransaction } from '../../../src/knock/ports/deliveries.ts'
import type { RoomEvent } from '../../../src/knock/ports/rooms.ts'
import { canonicalJson } from '../../../src/matrix/canonical-json.ts'
import type { ServerName } from '../../../src/matrix/identifiers.ts'
import { sendJson } from '../../support/key-server.ts'
import { canonical, verifyText } from '../../support/signing.ts'
import { OURS, startWorld, type World } from '../key-fixture.ts'
import { testEvent } from './outbox-fixture.ts'

describe('transactions', () => {
  let world: World
  let federation: Federation
  let there: ServerName

  beforeEach(async () => {
    world = await startWorld()
    federation = world.federation()
    there = world.name('there.example.test')
  })
  afterEach(() => world.close())

  const send = (
    events: readonly RoomEvent[] = [testEvent()],
    wait = 5000,
    signal = new AbortController().signal,
    enter?: (address: string) => boolean,
  ) => {
    const transaction: OutgoingTransaction = {
      ...{ destination: there, txnId: 'mk/1', startedAt: 1234, oldestAt: 1234, attempts: 0, slow: false, refusals: 0 },
      events: events.map(({ eventId, pdu }) => ({ eventId, json: canonicalJson(pdu) })),
    }
    return federation.sender.send(transaction, world.now() + wait, signal, enter)
  }
  const says = (status: number, body = '{}', headers: Record<string, string> = {}) => {
    world.machine.answer = (_visit, response) => response.writeHead(status, headers).end(body)
  }

  it('G3 a transaction is a signed PUT of the PDUs as they are stored', async () => {
    world.machine.answer = (_visit, response) => sendJson(response, 200, { pdus: {} })
    const event = testEvent('\u{1F600} é')
    expect(await send([event])).toEqual({ kind: 'delivered' })
    const [visit] = world.machine.visits
    const uri = '/_matrix/federation/v1/send/mk%2F1'
    expect(visit).toMatchObject({ method: 'PUT', path: uri, host: there, servername: 'there.example.test' })
    expect(visit?.headers['content-type']).toBe('application/json')
    const content = JSON.parse(visit?.body ?? '')
    expect(content).toEqual({ origin: OURS, origin_server_ts: 1234, pdus: [event.pdu] })
    expect(visit?.body).toBe(canonical(content))
    expect(visit?.headers['content-length']).toBe(String(Buffer.byteLength(visit?.body ?? '')))
    const header = /^X-Matrix origin="([^"]+)",destination="([^"]+)",key="([^"]+)",sig="([^"]+)"$/
    const [, origin = '', destination = '', key, sig = ''] = header.exec(visit?.headers.authorization ?? '') ?? []
    expect([origin, destination, key]).toEqual([OURS, there, 'ed25519:ours'])
    const text = canonical({ method: 'PUT', uri, origin, destination, content })
    expect(verifyText(text, sig, world.signingKey.publicKey)).toBe(true)
  })

  it('are not sent without the signing key, and the operator is told why', async () => {
    federation = world.federation({ signingKey: undefined })
    const reason = 'requests to other servers need the signing key (signing_key_path)'
    expect(await send()).toEqual({ kind: 'failed', reason })
    expect(world.machine.visits).toEqual([])
  })

  it.each(['', 'garbage', '[]', 'x'.repeat(300_000)])('G3 a 200 is a receipt whatever its body (%#)', async (body) => {
    says(200, body)
    expect(await send()).toEqual({ kind: 'delivered' })
  })

  it('G3 a 200 whose body never ends is a receipt', async () => {
    world.machine.answer = (_visit, response) => void response.writeHead(200).write('{')
    expect(await send([testEvent()], 500)).toEqual({ kind: 'delivered' })
  })

  it.each([201, 302, 401, 403, 404, 408, 500])('G3 a %i is a failure', async (status) => {
    says(status, '{}', { location: 'https://127.0.0.1/', 'retry-after': '5' })
    expect(await send()).toEqual({ kind: 'failed', reason: `the server answers ${status}` })
    expect(world.machine.visits).toHaveLength(1)
  })

  it.each([400, 405, 409, 413, 415, 418, 422, 451, 499])('G3 a %i refuses the transaction for good', async (status) => {
    says(status, '<html>too much</html>', { 'retry-after': '5' })
    expect(await send()).toEqual({ kind: 'refused', reason: `the server answers ${status}` })
    says(status, ' '.repeat(300_000))
    expect(await send()).toEqual({ kind: 'refused', reason: `the server answers ${status}` })
  })

  it('G3 a 413 that comes before the body was read refuses it', async () => {
    world.machine.answerHead = (response) => void response.writeHead(413, { connection: 'close' }).end('<html>')
    const large = Array.from({ length: 8 }, () => testEvent('x'.repeat(60_000)))
    expect(await send(large)).toEqual({ kind: 'refused', reason: 'the server answers 413' })
  })

  it.each([429, 503])('G3 Retry-After of a %i is told, in seconds, as a date, and from the body', async (status) => {
    says(status, '{}', { 'retry-after': '120' })
    expect(await send()).toMatchObject({ kind: 'failed', retryAfterMs: 120_000 })
    says(status, '{}', { 'retry-after': new Date(world.now() + 600_000).toUTCString() })
    const byDate = await send()
    expect(byDate.kind === 'failed' && Math.round((byDate.retryAfterMs ?? 0) / 10_000)).toBe(60)
    says(status, '{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":7000}')
    expect(await send()).toMatchObject({ retryAfterMs: 7000 })
    says(status, '{}', { 'retry-after': '99999999' })
    expect(await send()).toMatchObject({ retryAfterMs: 99_999_999_000 })
    says(status, '{}', { 'retry-after': 'soon' })
    expect(await send()).not.toHaveProperty('retryAfterMs')
  })

  it('G3 a destination that hangs is given up at the deadline', async () => {
    world.machine.answer = () => {}
    expect(await send([testEvent()], 300)).toEqual({ kind: 'failed', reason: 'no answer in time' })
  })

  it('G3 an address that may not be entered now is left out, and where all are nothing is sent', async () => {
    says(200)
    world.dns.zones.set('there.example.test', { addresses: ['127.0.0.9', '127.0.0.1'] })
    const asked = new Set<string>()
    const enter = (address: string) => {
      asked.add(address)
      return address === '127.0.0.1'
    }
    expect(await send([testEvent()], 5000, undefined, enter)).toEqual({ kind: 'delivered' })
    expect([...asked].sort()).toEqual(['127.0.0.1', '127.0.0.9'])
    expect(await send([testEvent()], 5000, undefined, () => false)).toEqual({ kind: 'busy' })
    expect(world.machine.visits).toHaveLength(1)
  })

  it('G3 a delivery can be broken off', async () => {
    const ending = new AbortController()
    world.machine.answer = () => ending.abort()
    expect(await send([testEvent()], 5000, ending.signal)).toEqual({ kind: 'failed', reason: 'ended early' })
  })

  it('G3 a destination that does not exist is a failure', async () => {
    world.dns.zones.clear()
    expect(await send()).toEqual({ kind: 'failed', reason: 'there.example.test has no address' })
  })

  it('deliveries one after the other use a connection again', async () => {
    says(200)
    for (let times = 0; times < 10; times++) await send()
    expect(world.machine.visits).toHaveLength(10)
    expect(world.machine.connections).toBeLessThanOrEqual(2)
  })
})
