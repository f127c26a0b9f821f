import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type FakeDns, startFakeDns } from '../support/fake-dns.ts'
import { type Answer, exchange } from '../support/http-client.ts'
import { keyObject, sendJson } from '../support/key-server.ts'
import { makeKnockPath } from '../support/remote-knocker.ts'
import { authorization, createIdentity } from '../support/signing.ts'
import { buildRoom, opening, type TestRoom } from '../support/test-room.ts'
import { startTlsServer, type TlsServer } from '../support/tls-server.ts'
import { type Stage, setStage, until } from './stage.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

/** More than any number of look-ups at a time. */
const FORGED = 1_100
const HONEST = 20

let stage: Stage
let room: TestRoom
let dns: FakeDns
let machine: TlsServer
/** Takes connections at every address of loopback, and says nothing. */
let silent: Server
const taken = new Set<Socket>()

beforeAll(async () => {
  silent = createServer((socket) => {
    taken.add(socket.on('error', () => undefined))
  })
  await once(silent.listen(0, '0.0.0.0'), 'listening')
})
afterAll(() => silent.close())

beforeEach(async () => {
  dns = await startFakeDns()
  for (let at = 0; at < FORGED; at++) dns.zones.set(`hang${at}.test`, 'hang')
  stage = await setStage(
    ({ alice }) => {
      room = buildRoom('10', alice, opening(alice, '10'))
      return [room]
    },
    {
      listen: { trust_proxy: ['127.0.0.0/8'] },
      federation: { dns_servers: [dns.server] },
      limits: { per_address: { per_second: 10_000, burst: 10_000 } },
    },
  )
  // Honest servers are addresses: on a slow machine the flood of questions makes our DNS lose some.
  const addresses = Array.from({ length: HONEST }, (_, at) => honestAddress(at))
  machine = await startTlsServer(stage.authority.issue(['*.example.test', ...addresses]), 0, '0.0.0.0')
  machine.answer = ({ host = '' }, response) => sendJson(response, 200, keyObject(createHonest(host), []))
})
afterEach(async () => {
  for (const socket of taken) socket.destroy()
  await stage?.close()
  await Promise.all([machine.close(), dns.close()])
})

const honestAddress = (at: number): string => `127.1.0.${1 + at}`
const honest = new Map<string, ReturnType<typeof createIdentity>>()
function createHonest(name: string) {
  const known = honest.get(name) ?? createIdentity(name)
  honest.set(name, known)
  return known
}

/** A make_knock in the name of a server, with a signature of nobody, from an address that the proxy tells. */
function forge(origin: string, address: string): void {
  const path = makeKnockPath(room.roomId, `@evil:${origin}`, '10')
  const header = `X-Matrix origin="${origin}",destination="resident.example",key="ed25519:x",sig="${'A'.repeat(86)}"`
  const headers = ['authorization', header, 'x-forwarded-for', address]
  exchange(stage.service.port, { method: 'GET', path, headers }).catch(() => undefined)
}

/** Forges requests in the names of servers whose DNS hangs. Pauses between them, so that no question is lost here. */
async function forgeHanging(count: number, addresses: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    forge(`hang${at}.test`, `198.51.100.${at % addresses}`)
    if (at % 50 === 49) await exchange(stage.service.adminPort, { method: 'GET', path: '/health' })
  }
  await until('look-ups of invented names', () => new Set(dns.questions).size > 60)
}

/** The first make_knock of a server that has never been here. */
function knockFirst(host: string, address: string): Promise<Answer> {
  const server = createHonest(`${host}:${machine.port}`)
  const path = makeKnockPath(room.roomId, `@kim:${server.name}`, '10')
  const toSign = { method: 'GET', uri: path, destination: 'resident.example' }
  const headers = ['authorization', authorization(server, toSign), 'x-forwarded-for', address]
  return exchange(stage.service.port, { method: 'GET', path, headers })
}

const statuses = async (answers: readonly Promise<Answer>[]) => (await Promise.all(answers)).map(({ status }) => status)
const all200 = Array<number>(HONEST).fill(200)
const metric = async (line: RegExp): Promise<number> => {
  const { text } = await exchange(stage.service.adminPort, { method: 'GET', path: '/metrics' })
  return Number(line.exec(text)?.[1] ?? 0)
}

describe('a flood of forged requests', () => {
  it('B6 from three addresses, of names whose DNS hangs, keeps no newcomer out', async () => {
    await forgeHanging(FORGED, 3)
    const knocks = Array.from({ length: HONEST }, (_, at) => knockFirst(honestAddress(at), `203.0.113.${at}`))
    expect(await statuses(knocks)).toEqual(all200)
  })

  it('B6 of servers that take connections and say nothing does neither', async () => {
    const { port } = silent.address() as AddressInfo
    for (let at = 0; at < 400; at++) {
      forge(`127.0.${1 + Math.floor(at / 200)}.${1 + (at % 200)}:${port}`, `198.51.100.${at % 3}`)
    }
    await until('flood', () => taken.size >= 64, 20_000)
    const knocks = Array.from({ length: HONEST }, (_, at) => knockFirst(honestAddress(at), `203.0.113.${at}`))
    expect(await statuses(knocks)).toEqual(all200)
  })

  it('B6 through one proxy that is not declared gives way, since it hangs', async () => {
    await forgeHanging(400, 1)
    const knocks = Array.from({ length: HONEST }, (_, at) => knockFirst(honestAddress(at), '198.51.100.0'))
    expect(await statuses(knocks)).toEqual(all200)
  })

  it('B6 in the name of an honest server neither poisons nor delays it', async () => {
    await forgeHanging(FORGED, 3)
    for (let at = 0; at < HONEST; at++) forge(`${honestAddress(at)}:${machine.port}`, '198.51.100.1')
    const knocks = Array.from({ length: HONEST }, (_, at) => knockFirst(honestAddress(at), `203.0.113.${at}`))
    expect(await statuses(knocks)).toEqual(all200)
  })
})

describe('name servers that are not there', () => {
  it('are our own lack: they are waited for, and are no 401', async () => {
    const { server } = dns
    await dns.close()
    const knock = knockFirst('late.example.test', '203.0.113.1')
    await until('look-up that could not be made', async () => {
      return (await metric(/^matrix_knock_key_lookups_total\{outcome="missing"\} (\d+)/m)) > 0
    })
    dns = await startFakeDns({ 'late.example.test': { addresses: ['127.0.0.1'] } }, Number(server.split(':')[1]))
    expect((await knock).status).toBe(200)
  })
})
