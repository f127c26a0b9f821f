import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { proxyFragment } from '../../src/config/proxy/proxies.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createCertificateAuthority, LOOPBACK_NAMES } from '../support/certificates.ts'
import { type Answer, exchange } from '../support/http-client.ts'
import { freePorts } from '../support/service-process.ts'
import { startTlsServer, type TlsServer } from '../support/tls-server.ts'
import { type ProgramName, type RunningProxy, startProxy } from './programs.ts'
import { type Recorder, startRecorder } from './recorder.ts'

const MAKE_KNOCK = '/_matrix/federation/v1/make_knock/%21a%2fb:example.org//%40u+%25:example.com?ver=10&ver=11'
const SEND_KNOCK = '/_matrix/federation/v1/send_knock/!a%2Fb:example.org/$e%2fv+'
const AUTHORIZATION = 'X-Matrix origin="a.example",key="ed25519:a_1",sig="AA+/BB=="'
/** As most events are, and as large as one may be. */
const BODY = `{"reason":"${'é'.repeat(5000)}"}`
const LARGE = `{"reason":"${'é'.repeat(32_700)}"}`

const programs: readonly ProgramName[] = ['nginx', 'caddy', 'haproxy']

describe.each(programs)('%s before a homeserver with knocking', (name) => {
  let service: Recorder
  let homeserver: Recorder
  let proxy: RunningProxy

  beforeEach(async () => {
    service = await startRecorder('service')
    homeserver = await startRecorder('homeserver')
    // A service that hangs is waited for no longer than tests can.
    const short = fragment(name, service.port, homeserver.port).replaceAll(' 60s', ' 2s')
    proxy = await startProxy(name, short, homeserver.port)
  })
  afterEach(async () => {
    await proxy?.stop()
    await service?.close()
    await homeserver?.close()
  })

  const headers = ['authorization', AUTHORIZATION]
  const makeKnock = () => exchange(proxy.port, { method: 'GET', path: MAKE_KNOCK, headers }, proxy.ca)
  const sendKnock = (body = BODY) => exchange(proxy.port, { method: 'PUT', path: SEND_KNOCK, headers, body }, proxy.ca)

  /** That the homeserver answered, and got all as it was sent. */
  function fellBack({ status, body }: Answer, target: string, sent = target === SEND_KNOCK ? BODY : ''): void {
    expect([status, body]).toEqual([200, { from: 'homeserver' }])
    const request = homeserver.requests.at(-1)
    expect(request?.target).toBe(target)
    expect(request?.header('authorization')).toEqual([AUTHORIZATION])
    expect(request?.header('x-forwarded-for')).toEqual(['127.0.0.1'])
    expect(String(request?.body)).toBe(sent)
  }

  it('asks the service while it answers', async () => {
    expect([(await makeKnock()).body, (await sendKnock()).body]).toEqual([{ from: 'service' }, { from: 'service' }])
    expect(homeserver.requests).toEqual([])
    expect(String(service.requests[1]?.body)).toBe(BODY)
  })

  it('asks the homeserver while the service is away, and the service when it is back', async () => {
    await service.close()
    for (let round = 0; round < 2; round++) {
      fellBack(await sendKnock(), SEND_KNOCK)
      fellBack(await sendKnock(LARGE), SEND_KNOCK, LARGE)
      fellBack(await makeKnock(), MAKE_KNOCK)
    }
    service = await startRecorder('service', service.port)
    await expect.poll(async () => (await makeKnock()).body, { timeout: 15_000 }).toEqual({ from: 'service' })
    await expect.poll(async () => (await sendKnock()).body, { timeout: 15_000 }).toEqual({ from: 'service' })
  })

  it.each([BODY, LARGE])('hands on every answer of the service as it is', async (body) => {
    for (const status of [400, 401, 403, 404, 413, 429, 500, 502, 503, 504]) {
      service.answer = (response) => response.writeHead(status, { 'retry-after': '7' }).end(`{"errcode":"M_${status}"}`)
      for (const answer of [await makeKnock(), await sendKnock(body)]) {
        const { headers: answered } = answer
        expect([answer.status, answer.body, answered['retry-after']]).toEqual([status, { errcode: `M_${status}` }, '7'])
      }
    }
    expect(homeserver.requests).toEqual([])
    // Nor is the homeserver asked next time.
    service.answer = (response) => response.writeHead(200).end('{"from":"service"}')
    expect([(await makeKnock()).body, (await sendKnock()).body]).toEqual([{ from: 'service' }, { from: 'service' }])
  })

  it('does not ask the homeserver where the service has the request and breaks off', async () => {
    service.answer = (response) => response.socket?.destroy()
    for (const answer of [await makeKnock(), await sendKnock()]) expect([502, 503]).toContain(answer.status)
    expect(homeserver.requests).toEqual([])
    service.answer = (response) => response.writeHead(200).end('{"from":"service"}')
    expect([(await makeKnock()).body, (await sendKnock()).body]).toEqual([{ from: 'service' }, { from: 'service' }])
  })

  it('does not ask the homeserver where the service has the request and hangs', async () => {
    service.answer = () => undefined
    for (const answer of await Promise.all([makeKnock(), sendKnock()])) {
      expect([502, 503, 504]).toContain(answer.status)
    }
    expect(homeserver.requests).toEqual([])
  })

  it('hands on what the homeserver says', async () => {
    await service.close()
    homeserver.answer = (response) => response.writeHead(403).end('{"errcode":"M_FORBIDDEN"}')
    expect([(await makeKnock()).status, (await sendKnock()).status]).toEqual([403, 403])
  })
})

describe('before a homeserver that answers TLS alone', () => {
  let homeserver: TlsServer
  let proxy: RunningProxy

  async function start(name: ProgramName): Promise<void> {
    homeserver = await startTlsServer(createCertificateAuthority().issue(LOOPBACK_NAMES))
    homeserver.answer = (_visit, response) => response.writeHead(200).end('{"from":"homeserver"}')
    const [away = 0] = await freePorts(1)
    proxy = await startProxy(name, fragment(name, away, homeserver.port, 'https://localhost'), homeserver.port)
  }
  afterEach(async () => {
    await proxy?.stop()
    await homeserver?.close()
  })

  it('nginx falls back to it', async () => {
    await start('nginx')
    const answer = await exchange(proxy.port, { method: 'PUT', path: SEND_KNOCK, body: BODY }, proxy.ca)
    expect(answer.body).toEqual({ from: 'homeserver' })
    expect(homeserver.visits).toMatchObject([{ path: SEND_KNOCK, servername: 'localhost', body: BODY }])
  })

  it.each(['haproxy', 'caddy'] as const)('%s does so only with a certificate that the system knows', async (name) => {
    await start(name)
    const { status } = await exchange(proxy.port, { method: 'GET', path: MAKE_KNOCK }, proxy.ca)
    expect(status).toBe(name === 'caddy' ? 502 : 503)
    expect(homeserver.visits).toEqual([])
  })
})

function fragment(name: ProgramName, port: number, homeserverPort: number, origin = 'http://127.0.0.1'): string {
  const homeserver = { handover: 'forward', url: `${origin}:${homeserverPort}` }
  const made = proxyFragment(name, configSchema.parse({ server_name: 'example.org', listen: { port }, homeserver }))
  if (!made.ok) throw new Error(`${made.problem.key}: ${made.problem.what}`)
  return made.text
}
