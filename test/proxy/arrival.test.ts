import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { proxyFragment } from '../../src/config/proxy/proxies.ts'
import { configSchema } from '../../src/config/schema.ts'
import { exchange, type PlainRequest } from '../support/http-client.ts'
import { type ProgramName, type RunningProxy, startProxy } from './programs.ts'
import { type Recorded, type Recorder, startRecorder } from './recorder.ts'
import { AWKWARD_TARGETS } from './targets.ts'

const AUTHORIZATION = 'X-Matrix origin="a.example",destination=b.example:8448,key="ed25519:a_1",sig="AA+/BB=="'
const SEND_KNOCK = '/_matrix/federation/v1/send_knock/!room:example.org/$event%2Fid+'

const programs: readonly ProgramName[] = ['nginx', 'caddy', 'haproxy']

describe.each(programs)('through %s', (name) => {
  let service: Recorder
  let homeserver: Recorder
  let proxy: RunningProxy

  beforeAll(async () => {
    service = await startRecorder('service')
    homeserver = await startRecorder('homeserver')
    proxy = await startProxy(name, fragment(name, service.port), homeserver.port)
  })
  afterEach(() => {
    service.reset()
    homeserver.reset()
  })
  afterAll(async () => {
    await proxy?.stop()
    await service?.close()
    await homeserver?.close()
  })

  const send = (request: PlainRequest) => exchange(proxy.port, request, proxy.ca)

  function arrived(): Recorded {
    expect([service.requests.length, homeserver.requests.length]).toEqual([1, 0])
    const [request] = service.requests
    if (request === undefined) throw new Error('nothing arrived')
    return request
  }

  it.each(AWKWARD_TARGETS)('%s: the target arrives as it was sent', async (_what, path) => {
    const { status } = await send({ method: 'GET', path, headers: ['authorization', AUTHORIZATION] })
    expect(status).toBe(200)
    expect(arrived()).toMatchObject({ method: 'GET', target: path })
    expect(arrived().header('authorization')).toEqual([AUTHORIZATION])
  })

  it(`characters that no URL may hold unescaped ${name === 'caddy' ? 'are escaped by Caddy' : 'arrive too'}`, async () => {
    const path = '/_matrix/federation/v1/make_knock/!a|"^b:example.org/@user:example.com'
    await send({ method: 'GET', path })
    const escaped = '/_matrix/federation/v1/make_knock/%21a%7C%22%5Eb:example.org/@user:example.com'
    expect(arrived().target).toBe(name === 'caddy' ? escaped : path)
  })

  it.each([0, 1, 64 * 1024, 200 * 1024])('a body of %i bytes arrives as it was sent', async (length) => {
    const body = randomBytes(length)
    const headers = ['authorization', AUTHORIZATION, 'content-type', 'application/json']
    expect((await send({ method: 'PUT', path: SEND_KNOCK, headers, body })).body).toEqual({ from: 'service' })
    expect(arrived()).toMatchObject({ method: 'PUT', target: SEND_KNOCK })
    expect(arrived().body.equals(body)).toBe(true)
  })

  it('the address of the client arrives, and not what the client says of it', async () => {
    await send({ method: 'GET', path: AWKWARD_TARGETS[0]?.[1] ?? '', headers: ['x-forwarded-for', '203.0.113.9'] })
    expect(arrived().header('x-forwarded-for')).toEqual(['127.0.0.1'])
  })

  it(`several Authorization lines ${name === 'nginx' ? 'are refused by nginx itself' : 'arrive, in their order'}`, async () => {
    const lines = [AUTHORIZATION, AUTHORIZATION.replace('a_1', 'a_2')]
    const headers = lines.flatMap((line) => ['authorization', line])
    const { status } = await send({ method: 'PUT', path: SEND_KNOCK, headers, body: '{}' })
    if (name === 'nginx') {
      expect([status, service.requests.length, homeserver.requests.length]).toEqual([400, 0, 0])
    } else {
      expect(arrived().header('authorization')).toEqual(lines)
    }
  })

  it.each([
    '/_matrix/federation/v1/send/1',
    '/_matrix/federation/v1/make_knocks/!room:example.org/@user:example.com',
    '/_matrix/federation/v2/send_knock/!room:example.org/$event',
    '/_matrix/client/v3/knock/!room:example.org',
  ])('%s goes to the homeserver', async (path) => {
    expect((await send({ method: 'GET', path })).body).toEqual({ from: 'homeserver' })
    expect([service.requests.length, homeserver.requests.length]).toEqual([0, 1])
  })

  it('refusals of the service arrive as they are', async () => {
    for (const status of [400, 401, 403, 404, 429, 500, 502, 503, 504]) {
      service.answer = (response) => response.writeHead(status, { 'retry-after': '7' }).end('{"errcode":"M_X"}')
      const answer = await send({ method: 'PUT', path: SEND_KNOCK, body: '{}' })
      expect([answer.status, answer.body, answer.headers['retry-after']]).toEqual([status, { errcode: 'M_X' }, '7'])
    }
    expect(homeserver.requests).toEqual([])
  })

  it.each(['localhost', '::1'])('the service may be at %s', async (host) => {
    const other = await startProxy(name, fragment(name, service.port, host), homeserver.port)
    const answer = await exchange(other.port, { method: 'GET', path: SEND_KNOCK }, other.ca).finally(other.stop)
    // The service of the tests listens on 127.0.0.1 alone.
    expect(answer.status).toBe(host === 'localhost' ? 200 : { nginx: 502, caddy: 502, haproxy: 503 }[name])
    expect([service.requests.length, homeserver.requests.length]).toEqual([host === 'localhost' ? 1 : 0, 0])
  })

  it('while the service is away nobody else is asked', async () => {
    await service.close()
    for (const method of ['GET', 'PUT']) {
      expect((await send({ method, path: SEND_KNOCK })).status).toBeGreaterThanOrEqual(502)
    }
    expect(homeserver.requests).toEqual([])
  })
})

/** For a homeserver without knocking. */
function fragment(name: ProgramName, port: number, host = '127.0.0.1'): string {
  const homeserver = { handover: 'inject', url: 'http://127.0.0.1:1' }
  const listen = { host, port }
  const made = proxyFragment(name, configSchema.parse({ server_name: 'example.org', listen, homeserver }))
  if (!made.ok) throw new Error(`${made.problem.key}: ${made.problem.what}`)
  return made.text
}
