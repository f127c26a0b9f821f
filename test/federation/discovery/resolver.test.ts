import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createHostsFile } from '../../../src/federation/discovery/hosts-file.ts'
import { createResolver, type Resolver } from '../../../src/federation/discovery/resolver.ts'
import { orderServices } from '../../../src/federation/discovery/service-order.ts'
import { type FakeDns, startFakeDns } from '../../support/fake-dns.ts'

describe('resolver', () => {
  let folder: string
  let dns: FakeDns
  let resolver: Resolver
  let time: number
  const clock = () => time

  beforeEach(async () => {
    time = 1_000_000
    folder = await mkdtemp(join(tmpdir(), 'matrix-knock-hosts-'))
    dns = await startFakeDns()
    const hosts = createHostsFile(join(folder, 'hosts'), clock)
    resolver = createResolver({ hosts, clock, servers: [dns.server], timeoutMs: 600 })
  })
  afterEach(async () => {
    await dns.close()
    await rm(folder, { recursive: true })
  })

  const writeHosts = (text: string) => writeFile(join(folder, 'hosts'), text)
  const found = (...records: string[]) => ({ kind: 'found', records })

  it('C6 both families are asked, IPv4 comes first', async () => {
    dns.zones.set('a.test', { addresses: ['2001:db8::1', '192.0.2.1'] })
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.1', '2001:db8::1'))
    expect([...dns.questions].sort()).toEqual(['A a.test', 'AAAA a.test'])
  })

  it('no name server is our own lack, and is not kept', async () => {
    const { server } = dns
    await dns.close()
    const nobody = { kind: 'failed', reason: 'DNS: ECONNREFUSED', lack: 'missing' }
    expect(await resolver.addresses('a.test')).toEqual(nobody)
    expect(await resolver.services('_matrix._tcp.a.test')).toEqual(nobody)
    dns = await startFakeDns({ 'a.test': { addresses: ['192.0.2.1'] } }, Number(server.split(':')[1]))
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.1'))
  })

  it('C6 an answer is kept as long as it says, whatever the spelling', async () => {
    dns.zones.set('a.test', { addresses: ['192.0.2.1'], ttl: 30 })
    await resolver.addresses('a.test')
    dns.zones.set('a.test', { addresses: ['192.0.2.2'], ttl: 30 })
    time += 29_000
    expect(await resolver.addresses('A.test')).toEqual(found('192.0.2.1'))
    time += 2_000
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.2'))
  })

  it('C6 an answer that was kept under a clock a year ahead is asked again', async () => {
    time += 365 * 86_400_000
    dns.zones.set('a.test', { addresses: ['192.0.2.1'] })
    await resolver.addresses('a.test')
    await resolver.addresses('b.test')
    time -= 365 * 86_400_000
    dns.zones.set('a.test', { addresses: ['192.0.2.2'] })
    dns.zones.set('b.test', { addresses: ['192.0.2.3'] })
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.2'))
    expect(await resolver.addresses('b.test')).toEqual(found('192.0.2.3'))
  })

  it('C6 a name without address is found again five seconds after it got one', async () => {
    expect(await resolver.addresses('a.test')).toEqual({ kind: 'absent' })
    dns.zones.set('a.test', { addresses: ['192.0.2.1'] })
    time += 4_000
    expect(await resolver.addresses('a.test')).toEqual({ kind: 'absent' })
    time += 2_000
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.1'))
  })

  it('C6 a failure of DNS is not taken for an absent name', async () => {
    dns.zones.set('broken.test', 'broken')
    dns.zones.set('hang.test', 'hang')
    expect(await resolver.addresses('broken.test')).toMatchObject({ kind: 'failed', reason: 'DNS: ESERVFAIL' })
    expect(await resolver.addresses('hang.test')).toMatchObject({ kind: 'failed' })
    expect(await resolver.services('broken.test')).toMatchObject({ kind: 'failed' })
  })

  it.each([
    ['IPv6', 'AAAA', ['192.0.2.1']],
    ['IPv4', 'A', ['2001:db8::1']],
  ])('C6 %s that is not answered holds up nobody for long, and is asked again soon', async (_family, type, had) => {
    const zone = { addresses: ['192.0.2.1', '2001:db8::1'], ttl: 3600 }
    dns.zones.set('a.test', { ...zone, silent: [type] })
    const start = Date.now()
    expect(await resolver.addresses('a.test')).toEqual(found(...had))
    expect(Date.now() - start).toBeLessThan(500)
    dns.zones.set('a.test', zone)
    time += 4_000
    expect(await resolver.addresses('a.test')).toEqual(found(...had))
    time += 2_000
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.1', '2001:db8::1'))
  })

  it('C6 a name without addresses of one family is waited for with the other', async () => {
    dns.zones.set('a.test', { addresses: [], silent: ['AAAA'] })
    expect(await resolver.addresses('a.test')).toMatchObject({ kind: 'failed' })
  })

  it('C6 many that ask at once cause one question of each kind', async () => {
    dns.zones.set('a.test', { addresses: ['192.0.2.1'] })
    await Promise.all(Array.from({ length: 10 }, () => resolver.addresses('a.test')))
    expect(dns.questions).toHaveLength(2)
  })

  it.each(['a..test', '.', `${'x'.repeat(64)}.test`, ''])(
    'C6 %j has no address, and nothing is thrown',
    async (name) => {
      expect(await resolver.addresses(name)).toMatchObject({ kind: 'absent' })
    },
  )

  it('C6 thousands of records are cut to sixteen', async () => {
    const services = Array.from({ length: 20 }, (_, at) => ({ target: 'b.test', port: at + 1 }))
    dns.zones.set('_matrix-fed._tcp.a.test', { services })
    const answer = await resolver.services('_matrix-fed._tcp.a.test')
    expect(answer.kind === 'found' && answer.records.length).toBe(16)
  })

  it('C6 the hosts file wins over DNS, without regard to case, and a change is seen within a second', async () => {
    await writeHosts('# comment\n192.0.2.7  a.test  B.test # more\n2001:db8::7\ta.test\nnonsense c.test\n\n')
    dns.zones.set('a.test', { addresses: ['192.0.2.1'] })
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.7', '2001:db8::7'))
    expect(await resolver.addresses('b.TEST')).toEqual(found('192.0.2.7'))
    expect(await resolver.addresses('c.test')).toEqual({ kind: 'absent' })
    await writeHosts('192.0.2.88 a.test\n')
    time += 1_000
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.88'))
    await rm(join(folder, 'hosts'))
    time += 1_000
    expect(await resolver.addresses('a.test')).toEqual(found('192.0.2.1'))
  })

  it('C6 localhost needs neither file nor DNS', async () => {
    expect(await resolver.addresses('localhost')).toEqual(found('127.0.0.1', '::1'))
    expect(dns.questions).toEqual([])
  })
})

describe('order of services', () => {
  const service = (target: string, priority: number, weight = 1) => ({ target, priority, weight, port: 1 })
  const names = (records: readonly { target: string }[]) => records.map(({ target }) => target).join('')

  it('C6 lower priorities come first', () => {
    const records = [service('c', 30), service('a', 10), service('b', 20)]
    expect(names(orderServices(records, () => 0.9))).toBe('abc')
  })

  it('C6 the weight is the chance to come first', () => {
    const records = [service('a', 1, 30), service('b', 1, 10)]
    let first = 0
    for (let at = 0; at < 1000; at++) if (names(orderServices(records, () => at / 1000)) === 'ab') first++
    expect(first).toBeGreaterThan(700)
    expect(first).toBeLessThan(800)
  })

  it('C6 a weight of 0 leaves a small chance', () => {
    const records = [service('a', 1, 0), service('b', 1, 9)]
    expect(names(orderServices(records, () => 0))).toBe('ab')
    expect(names(orderServices(records, () => 0.5))).toBe('ba')
  })

  it('C6 a target of "." is left out', () => {
    expect(orderServices([service('.', 1), service('', 1)], () => 0)).toEqual([])
  })
})
