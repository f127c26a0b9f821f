import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createAddressFilter, parseNetwork } from '../../../src/federation/discovery/address-filter.ts'
import { createHostsFile } from '../../../src/federation/discovery/hosts-file.ts'
import { createResolver } from '../../../src/federation/discovery/resolver.ts'
import { createWellKnown, lifetimeOf, type WellKnown } from '../../../src/federation/discovery/well-known.ts'
import { createHttpAgent, type HttpAgent } from '../../../src/federation/http/agent.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { type FakeDns, startFakeDns } from '../../support/fake-dns.ts'
import { startTlsServer, type TlsServer } from '../../support/tls-server.ts'

const HOUR = 3_600_000
const PATH = '/.well-known/matrix/server'

describe('well-known delegation', () => {
  const authority = createCertificateAuthority()
  let dns: FakeDns
  let web: TlsServer
  let agent: HttpAgent
  let wellKnown: WellKnown
  let ahead = 0
  const clock = () => Date.now() + ahead

  beforeAll(async () => {
    const here = { addresses: ['127.0.0.1'] }
    dns = await startFakeDns({ 'a.test': here, 'b.test': here, 'inside.test': { addresses: ['169.254.169.254'] } })
    web = await startTlsServer(authority.issue(['a.test', 'b.test', '127.0.0.1']))
  })
  afterAll(async () => {
    await Promise.all([agent.close(), dns.close(), web.close()])
  })
  beforeEach(async () => {
    await agent?.close()
    ahead = 0
    web.visits.length = 0
    const filter = createAddressFilter([parseNetwork('127.0.0.1') ?? expect.fail()])
    const hosts = createHostsFile('/nowhere/hosts', clock)
    const resolver = createResolver({ hosts, clock, servers: [dns.server] })
    agent = createHttpAgent({ filter, clock, caCertificates: [authority.cert] })
    wellKnown = createWellKnown({ resolver, agent, clock, port: web.port, timeoutMs: 1500 })
  })

  const ask = (hostname = 'a.test') => wellKnown.delegationOf(hostname, clock() + 5000)
  const says = (body: string | Buffer, headers: Record<string, string> = {}, status = 200) => {
    web.answer = (_visit, response) => response.writeHead(status, headers).end(body)
  }
  const delegates = (name: string, headers: Record<string, string> = {}) =>
    says(JSON.stringify({ 'm.server': name }), headers)
  const redirects = (to: (path: string) => string | undefined) => {
    web.answer = ({ path }, response: ServerResponse) => {
      const location = to(path)
      if (location === undefined) response.end('{"m.server":"there.test"}')
      else response.writeHead(302, { location }).end()
    }
  }

  it.each(['text/html', 'application/octet-stream', 'nonsense'])(
    'C7 the content type %s is of no account',
    async (type) => {
      delegates('there.test:1', { 'content-type': type })
      expect(await ask()).toBe('there.test:1')
    },
  )

  it('C7 what else the object holds is of no account', async () => {
    says('{"m.server":"there.test","weight":1.5,"x":1,"x":2}')
    expect(await ask()).toBe('there.test')
  })

  it.each([
    ['no JSON', '<html>', 200],
    ['a list', '["there.test"]', 200],
    ['null', 'null', 200],
    ['no m.server', '{}', 200],
    ['a number', '{"m.server":1}', 200],
    ['a name with a path', '{"m.server":"there.test/x"}', 200],
    ['a 404', '{"m.server":"there.test"}', 404],
    ['a 500', '{"m.server":"there.test"}', 500],
  ])('C7 %s is no delegation', async (_what, body, status) => {
    says(body, {}, status)
    expect(await ask()).toBeUndefined()
  })

  it('C7 a body of 50 KiB is read, a longer one is not', async () => {
    const fill = (length: number) => `{"m.server":"there.test"${' '.repeat(length - 25)}}`
    says(fill(50 * 1024))
    expect(await ask('a.test')).toBe('there.test')
    says(fill(50 * 1024 + 1))
    expect(await ask('b.test')).toBeUndefined()
  })

  it('C7 redirects are followed, relative and to another host', async () => {
    redirects((path) => (path === PATH ? '/one' : path === '/one' ? `https://b.test:${web.port}/two?x=y` : undefined))
    expect(await ask()).toBe('there.test')
    expect(web.visits.map(({ path, servername }) => [path, servername])).toEqual([
      [PATH, 'a.test'],
      ['/one', 'a.test'],
      ['/two?x=y', 'b.test'],
    ])
    expect(web.visits.at(-1)?.host).toBe(`b.test:${web.port}`)
  })

  it('C7 a redirect loop ends at once, an endless chain after five', async () => {
    redirects((path) => (path === PATH ? '/one' : PATH))
    expect(await ask('a.test')).toBeUndefined()
    expect(web.visits).toHaveLength(2)
    redirects((path) => `${path}x`)
    expect(await ask('b.test')).toBeUndefined()
    expect(web.visits).toHaveLength(2 + 6)
  })

  it('C7 a redirect that leaves HTTPS is not followed', async () => {
    redirects((path) => (path === PATH ? `http://a.test:${web.port}/one` : undefined))
    expect(await ask()).toBeUndefined()
    expect(web.visits).toHaveLength(1)
  })

  it.each([
    'https://169.254.169.254/',
    'https://inside.test/',
    'https://[::ffff:169.254.169.254]/',
    'https://0xa9fea9fe/',
  ])('C8 a redirect to %s is refused, and without a connection', async (location) => {
    redirects(() => location)
    const start = Date.now()
    expect(await ask()).toBeUndefined()
    expect(Date.now() - start).toBeLessThan(1000)
  })

  it('C7 a server that hangs is given up after its time', async () => {
    web.answer = () => {}
    expect(await ask()).toBeUndefined()
    expect(web.visits).toHaveLength(1)
  })

  it('C7 an answer is kept for 24 hours where it says nothing, for max-age where it does, for 48 hours at most', () => {
    const now = Date.parse('2026-01-01T00:00:00Z')
    const date = 'Thu, 01 Jan 2026 00:00:00 GMT'
    expect(lifetimeOf({}, now)).toBe(24 * HOUR)
    expect(lifetimeOf({ 'cache-control': 'public, max-age=3600' }, now)).toBe(HOUR)
    expect(lifetimeOf({ 'cache-control': 'max-age=99999999' }, now)).toBe(48 * HOUR)
    expect(lifetimeOf({ 'cache-control': 'no-store' }, now)).toBe(0)
    expect(lifetimeOf({ expires: 'Thu, 01 Jan 2026 02:00:00 GMT', date }, now + 5)).toBe(2 * HOUR)
    expect(lifetimeOf({ expires: 'Thu, 01 Jan 2026 02:00:00 GMT' }, now)).toBe(2 * HOUR)
    expect(lifetimeOf({ expires: 'Fri, 01 Jan 2027 02:00:00 GMT', date }, now)).toBe(48 * HOUR)
    expect(lifetimeOf({ expires: '0' }, now)).toBe(0)
    expect(lifetimeOf({ 'cache-control': 'max-age=60', expires: '0' }, now)).toBe(60_000)
  })

  it('C7 an answer is asked again when its time is over, not before', async () => {
    delegates('there.test', { 'cache-control': 'max-age=3600' })
    expect(await ask()).toBe('there.test')
    delegates('elsewhere.test')
    ahead = HOUR - 5000
    expect(await ask()).toBe('there.test')
    ahead = HOUR + 1
    expect(await ask()).toBe('elsewhere.test')
    ahead += 24 * HOUR - 5000
    expect(await ask()).toBe('elsewhere.test')
    expect(web.visits).toHaveLength(2)
    ahead += 6000
    await ask()
    expect(web.visits).toHaveLength(3)
  })

  it('C7 errors are kept for twice as long each time, but never over an hour', async () => {
    says('', {}, 404)
    await ask()
    const waits: number[] = []
    while (waits.length < 9) {
      const before = web.visits.length
      let waited = 0
      while (web.visits.length === before) {
        waited += 30
        ahead += 30_000
        await ask()
      }
      waits.push(waited)
    }
    expect(waits).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600])
  })

  it('C7 many that ask at once cause one request', async () => {
    delegates('there.test')
    expect(await Promise.all([ask(), ask(), ask()])).toEqual(['there.test', 'there.test', 'there.test'])
    expect(web.visits).toHaveLength(1)
  })

  it('C7 what was kept under a clock a year ahead is asked again, delegation and error', async () => {
    ahead = 365 * 24 * HOUR
    delegates('there.test')
    await ask('a.test')
    says('', {}, 404)
    await ask('b.test')
    ahead = 0
    delegates('moved.test')
    expect(await ask('a.test')).toBe('moved.test')
    expect(await ask('b.test')).toBe('moved.test')
  })

  describe('a delegation that was distrusted', () => {
    const askedAgain = async () => {
      delegates('there.test', { 'cache-control': 'max-age=3600' })
      await ask()
      wellKnown.distrust('a.test')
      ahead = 16_000
    }

    it.each([429, 500, 503])('C7 stays while its own lifetime runs where the next answer is %i', async (status) => {
      await askedAgain()
      says('', {}, status)
      expect(await ask()).toBe('there.test')
      expect(await ask()).toBe('there.test')
      expect(web.visits).toHaveLength(2)
      ahead = HOUR + 1
      expect(await ask()).toBeUndefined()
    })

    it('C7 is asked again after the pause of errors', async () => {
      await askedAgain()
      says('', {}, 503)
      await ask()
      delegates('moved.test')
      ahead += 29_000
      expect(await ask()).toBe('there.test')
      ahead += 2_000
      expect(await ask()).toBe('moved.test')
    })

    it.each([
      ['a 404', '', 404],
      ['no m.server', '{}', 200],
    ])('C7 is over where the next answer is %s', async (_what, body, status) => {
      await askedAgain()
      says(body, {}, status)
      expect(await ask()).toBeUndefined()
    })

    it('C7 is not the one of the same name in another spelling', async () => {
      delegates('there.test')
      await ask('a.test')
      await ask('A.test')
      wellKnown.distrust('A.test')
      says('', {}, 404)
      ahead = 16_000
      expect(await ask('A.test')).toBeUndefined()
      expect(await ask('a.test')).toBe('there.test')
      expect(web.visits).toHaveLength(3)
    })
  })

  it('C7 a delegation that leads nowhere is asked again after 15 seconds', async () => {
    delegates('there.test')
    await ask()
    wellKnown.distrust('a.test')
    ahead = 14_000
    expect(await ask()).toBe('there.test')
    delegates('moved.test')
    ahead = 16_000
    expect(await ask()).toBe('moved.test')
  })
})
