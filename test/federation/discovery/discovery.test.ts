import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createAddressFilter, parseNetwork } from '../../../src/federation/discovery/address-filter.ts'
import { createHostsFile } from '../../../src/federation/discovery/hosts-file.ts'
import { createResolver } from '../../../src/federation/discovery/resolver.ts'
import { createDiscovery, type Discovery } from '../../../src/federation/discovery/server-discovery.ts'
import { createWellKnown } from '../../../src/federation/discovery/well-known.ts'
import { createHttpAgent, type HttpAgent } from '../../../src/federation/http/agent.ts'
import type { ServerName } from '../../../src/matrix/identifiers.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { type FakeDns, startFakeDns } from '../../support/fake-dns.ts'
import { startTlsServer, type TlsServer } from '../../support/tls-server.ts'

const HERE = { addresses: ['127.0.0.1'] }
const NAMES = ['127.0.0.1', 'localhost', 'a.test', 'b.test', 'c.test']

describe('server discovery', () => {
  const authority = createCertificateAuthority()
  let dns: FakeDns
  let web: TlsServer
  let standard: TlsServer
  let other: TlsServer
  let agent: HttpAgent
  let discovery: Discovery

  beforeAll(async () => {
    const certificate = authority.issue(NAMES)
    web = await startTlsServer(certificate)
    standard = await startTlsServer(certificate)
    other = await startTlsServer(certificate)
    standard.answer = (_visit, response) => response.end('standard')
    other.answer = (_visit, response) => response.end('other')
  })
  afterAll(async () => {
    await Promise.all([agent.close(), dns.close(), web.close(), standard.close(), other.close()])
  })

  beforeEach(async () => {
    await agent?.close()
    // A server of its own for each test: a question that was asked again in the one before may come late.
    await dns?.close()
    dns = await startFakeDns()
    for (const name of ['a.test', 'b.test', 'c.test']) dns.zones.set(name, HERE)
    for (const server of [web, standard, other]) server.visits.length = 0
    web.answer = (_visit, response) => response.writeHead(404).end()
    const filter = createAddressFilter([parseNetwork('127.0.0.0/8') ?? expect.fail()])
    const hosts = createHostsFile('/nowhere/hosts', Date.now)
    const resolver = createResolver({ hosts, clock: Date.now, servers: [dns.server], timeoutMs: 1500 })
    agent = createHttpAgent({ filter, clock: Date.now, caCertificates: [authority.cert] })
    const wellKnown = createWellKnown({ resolver, agent, clock: Date.now, port: web.port })
    discovery = createDiscovery({ resolver, wellKnown, filter, random: () => 0.5, defaultPort: standard.port })
  })

  const delegateTo = (name: string) => {
    web.answer = (_visit, response) => response.end(JSON.stringify({ 'm.server': name }))
  }
  const service = (name: string, target: string, port: number) => dns.zones.set(name, { services: [{ target, port }] })

  /** What a server sees of a request that follows discovery. */
  async function reach(name: string) {
    const deadline = Date.now() + 5000
    const found = await discovery.discover(name as ServerName, deadline)
    if (found.kind === 'failed') return found.reason
    const response = await agent.requestAny(found.targets, { method: 'GET', path: '/x', maxBytes: 100, deadline })
    if (response.kind === 'failed') return response.reason
    const server = Buffer.from(response.body).toString()
    const visit = (server === 'standard' ? standard : other).visits.at(-1)
    return { server, host: visit?.host, sni: visit?.servername }
  }
  const asked = () => dns.questions.splice(0).filter((question) => question.startsWith('SRV'))

  it('C6 step 1: an IP literal is connected to as it stands, without SNI, on 8448 where no port is given', async () => {
    expect(await reach('127.0.0.1')).toEqual({ server: 'standard', host: '127.0.0.1', sni: false })
    const name = `127.0.0.1:${other.port}`
    expect(await reach(name)).toEqual({ server: 'other', host: name, sni: false })
    expect(web.visits).toEqual([])
  })

  it('C6 step 1 and 3.1: an IPv6 literal keeps its brackets in Host, and has them nowhere else', async () => {
    const filter = createAddressFilter([parseNetwork('::1') ?? expect.fail()])
    const hosts = createHostsFile('/nowhere/hosts', Date.now)
    const resolver = createResolver({ hosts, clock: Date.now, servers: [dns.server] })
    const wellKnown = createWellKnown({ resolver, agent, clock: Date.now, port: web.port })
    const finder = createDiscovery({ resolver, wellKnown, filter, random: () => 0.5 })
    delegateTo('[::1]:99')
    for (const [name, host, port] of [
      ['[::1]', '[::1]', 8448],
      ['[::1]:77', '[::1]:77', 77],
      ['a.test', '[::1]:99', 99],
    ] as const) {
      expect(await finder.discover(name as ServerName, Date.now() + 5000)).toEqual({
        kind: 'found',
        targets: [{ address: '::1', port, host, servername: undefined, certificateName: '::1' }],
      })
    }
    expect(web.visits.map(({ servername }) => servername)).toEqual(['a.test'])
  })

  it('C6 step 3.3: SRV records are used at once, however long the deprecated ones take', async () => {
    delegateTo('b.test')
    service('_matrix-fed._tcp.b.test', 'c.test', other.port)
    dns.zones.set('_matrix._tcp.b.test', 'hang')
    const start = Date.now()
    expect(await reach('a.test')).toMatchObject({ server: 'other', host: 'b.test' })
    // The other question is on its way: it must not arrive in the next test.
    await expect.poll(() => dns.questions).toContain('SRV _matrix._tcp.b.test')
    expect(Date.now() - start).toBeLessThan(1000)
  })

  it('C6 step 2: a name with a port is resolved and nothing else is asked', async () => {
    delegateTo('b.test')
    const name = `a.test:${other.port}`
    expect(await reach(name)).toEqual({ server: 'other', host: name, sni: 'a.test' })
    expect(web.visits).toEqual([])
    expect(asked()).toEqual([])
  })

  it('C6 step 2: a CNAME is followed', async () => {
    dns.zones.set('alias.test', { alias: 'b.test' })
    const found = await discovery.discover('alias.test:1234' as ServerName, Date.now() + 5000)
    expect(found).toMatchObject({
      kind: 'found',
      targets: [{ address: '127.0.0.1', port: 1234, servername: 'alias.test' }],
    })
  })

  it('C6 step 3.1: a delegated IP literal, with and without port', async () => {
    delegateTo('127.0.0.1')
    expect(await reach('a.test')).toEqual({ server: 'standard', host: '127.0.0.1', sni: false })
    expect(web.visits).toMatchObject([{ path: '/.well-known/matrix/server', servername: 'a.test' }])
    const name = `127.0.0.1:${other.port}`
    delegateTo(name)
    expect(await reach('b.test')).toEqual({ server: 'other', host: name, sni: false })
  })

  it('C6 step 3.2: a delegated name with a port', async () => {
    const name = `b.test:${other.port}`
    delegateTo(name)
    expect(await reach('a.test')).toEqual({ server: 'other', host: name, sni: 'b.test' })
    expect(asked()).toEqual([])
    expect(web.visits).toHaveLength(1)
  })

  it('C6 step 3.3: a delegated name without port is looked up as _matrix-fed service', async () => {
    delegateTo('b.test')
    service('_matrix-fed._tcp.b.test', 'c.test', other.port)
    service('_matrix._tcp.b.test', 'c.test', standard.port)
    expect(await reach('a.test')).toEqual({ server: 'other', host: 'b.test', sni: 'b.test' })
  })

  it('C6 step 3.4: the deprecated _matrix service of a delegated name', async () => {
    delegateTo('b.test')
    service('_matrix._tcp.b.test', 'c.test', other.port)
    expect(await reach('a.test')).toEqual({ server: 'other', host: 'b.test', sni: 'b.test' })
  })

  it('C6 step 3.5: a delegated name without services is reached on 8448, and its own delegation is not asked', async () => {
    delegateTo('b.test')
    expect(await reach('a.test')).toEqual({ server: 'standard', host: 'b.test', sni: 'b.test' })
    expect(web.visits.map(({ servername }) => servername)).toEqual(['a.test'])
  })

  it('C6 step 4: without delegation, the _matrix-fed service of the name', async () => {
    service('_matrix-fed._tcp.a.test', 'c.test', other.port)
    service('_matrix._tcp.a.test', 'c.test', standard.port)
    expect(await reach('a.test')).toEqual({ server: 'other', host: 'a.test', sni: 'a.test' })
  })

  it('C6 step 5: without delegation, the deprecated _matrix service', async () => {
    service('_matrix._tcp.a.test', 'c.test', other.port)
    expect(await reach('a.test')).toEqual({ server: 'other', host: 'a.test', sni: 'a.test' })
  })

  it('C6 step 6: without delegation and services, the name itself on 8448', async () => {
    expect(await reach('c.test')).toEqual({ server: 'standard', host: 'c.test', sni: 'c.test' })
    // A question that an earlier test did not wait for may arrive only now; none of those was about this name.
    const questions = asked().filter((question) => question.endsWith('.c.test'))
    expect(questions.sort()).toEqual(['SRV _matrix-fed._tcp.c.test', 'SRV _matrix._tcp.c.test'])
  })

  it('C6 a service whose target is "." is decidedly not offered', async () => {
    service('_matrix-fed._tcp.a.test', '.', 0)
    expect(await reach('a.test')).toMatch(/offers no federation/)
  })

  it('C6 the lowest priority comes first, and the next is tried where nobody listens', async () => {
    dns.zones.set('_matrix-fed._tcp.a.test', {
      services: [
        { target: 'c.test', port: other.port, priority: 20 },
        { target: 'c.test', port: 1, priority: 10 },
      ],
    })
    expect(await reach('a.test')).toEqual({ server: 'other', host: 'a.test', sni: 'a.test' })
  })

  it('C6 the certificate must be for the name, not for the target of its service', async () => {
    dns.zones.set('stranger.test', HERE)
    service('_matrix-fed._tcp.stranger.test', 'c.test', other.port)
    expect(await reach('stranger.test')).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
  })

  it('C6 steps 3.2 to 3.5: the certificate must be for the delegated name, not for the one that delegates', async () => {
    const ownOnly = await startTlsServer(authority.issue(['a.test']))
    delegateTo(`b.test:${ownOnly.port}`)
    expect(await reach('a.test')).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    service('_matrix-fed._tcp.c.test', 'a.test', ownOnly.port)
    delegateTo('c.test')
    expect(await reach('b.test')).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    expect(ownOnly.visits).toEqual([])
    await ownOnly.close()
  })

  it('C6 the certificate for an IP literal must be for that address', async () => {
    const impostor = await startTlsServer(authority.issue(['a.test']))
    expect(await reach(`127.0.0.1:${impostor.port}`)).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    await impostor.close()
  })

  it('C8 a literal, a name and a service that lead to a private address are refused', async () => {
    dns.zones.set('inside.test', { addresses: ['10.0.0.1', 'fd00::1', '64:ff9b::a00:1'] })
    service('_matrix-fed._tcp.a.test', 'inside.test', 443)
    expect(await reach('10.1.2.3')).toMatch(/not permitted/)
    expect(await reach('[::ffff:10.1.2.3]:8448')).toMatch(/not permitted/)
    expect(await reach('inside.test:8448')).toMatch(/not permitted/)
    expect(await reach('a.test')).toMatch(/not permitted/)
    const found = await discovery.discover('inside.test:8448' as ServerName, Date.now() + 5000)
    expect(found.kind).toBe('failed')
  })

  it('C8 the agent refuses an address that is not permitted, whoever asks', async () => {
    const target = { address: '169.254.169.254', port: 80, host: 'x', servername: 'x', certificateName: 'x' }
    const answer = await agent.request(target, { method: 'GET', path: '/', maxBytes: 1, deadline: Date.now() + 5000 })
    expect(answer).toEqual({ kind: 'failed', reason: '169.254.169.254 is not permitted' })
  })

  it('what is no server name leads nowhere', async () => {
    for (const name of ['', 'a b', 'a.test:99999', '@x', 'garbage/path']) {
      expect(await discovery.discover(name as ServerName, Date.now() + 1000)).toMatchObject({ kind: 'failed' })
      expect(() => discovery.unreachable(name as ServerName)).not.toThrow()
    }
  })

  it('a name whose DNS hangs delays no other', async () => {
    for (let count = 0; count < 20; count++) dns.zones.set(`hang${count}.test`, 'hang')
    let hanging = 20
    const stuck = Array.from({ length: 20 }, (_, count) =>
      reach(`hang${count}.test:1`).finally(() => {
        hanging--
      }),
    )
    expect(await reach(`a.test:${other.port}`)).toMatchObject({ server: 'other' })
    expect(hanging).toBe(20)
    expect(await Promise.all(stuck)).toEqual(stuck.map(() => expect.stringMatching(/DNS/)))
  })
})
