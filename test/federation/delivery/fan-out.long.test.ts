/** One knock in a room of thousands of servers: what it asks of the event loop and of the network. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createDeliveryWorker } from '../../../src/federation/delivery/worker.ts'
import { parseNetwork } from '../../../src/federation/discovery/address-filter.ts'
import { createFederation } from '../../../src/federation/federation.ts'
import { nativeEd25519 } from '../../../src/matrix/ed25519.ts'
import type { KeyId } from '../../../src/matrix/identifiers.ts'
import { signingKeyFromSeed } from '../../../src/matrix/portable-ed25519.ts'
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts'
import { accept, CAROL, HERE, importRoom, knock, member, sampleState } from '../../store/sample-room.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import type { CrowdPlace, CrowdReport, CrowdSetUp } from './crowd-program.ts'

const SERVERS = 5_000
const LANES = 32
const PROGRAM = fileURLToPath(new URL('./crowd-program.ts', import.meta.url))

/**
 * Watches how long this thread keeps its event loop: the time that it computed between two turns, in milliseconds. A
 * clock on the wall would also tell how busy the machine is, which is not the service's doing: beside a full test run it
 * shows five times as much.
 */
function watchEventLoop() {
  const computed = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6
  const turns: number[] = []
  let before = computed()
  const timer = setInterval(() => {
    const now = computed()
    turns.push(now - before)
    before = now
  }, 1)
  return {
    end() {
      clearInterval(timer)
      turns.sort((left, right) => left - right)
      return { turns: turns.length, usual: turns[Math.floor(turns.length * 0.998)], longest: turns.at(-1) }
    },
  }
}

describe('a knock in a room of 5,000 servers', () => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  async function startCrowd(names: readonly string[]) {
    const authority = createCertificateAuthority()
    const child: ChildProcess = fork(PROGRAM, { execArgv: ['--import', 'tsx'] })
    closing.push(() => child.kill())
    child.send({ certificate: authority.issue(['*.example.test']), names } satisfies CrowdSetUp)
    const [place] = (await once(child, 'message')) as [CrowdPlace]
    const report = async () => {
      child.send('report')
      return (await once(child, 'message'))[0] as CrowdReport
    }
    return { ...place, ca: authority.cert, report }
  }

  async function openStore(servers: readonly string[]) {
    const directory = await mkdtemp(join(tmpdir(), 'knock-crowd-'))
    const store = await openSqliteStore({ path: join(directory, 'knock.db'), clock: Date.now })
    closing.push(
      () => rm(directory, { recursive: true }),
      () => store.close(),
    )
    const crowd = servers.map((server, at) => member(`m${at}`, `@m:${server}`, 'join'))
    await importRoom(store, { state: [...sampleState().slice(0, 4), ...crowd] })
    return store
  }

  it('G3 reaches each once, over as many connections as lanes, and keeps no request waiting', {
    timeout: 180_000,
  }, async () => {
    const names = Array.from({ length: SERVERS }, (_, at) => `s${at}.example.test`)
    const crowd = await startCrowd(names)
    const store = await openStore(names.map((name) => `${name}:${crowd.port}`))
    const loopback = parseNetwork('127.0.0.0/8')
    const federation = createFederation({
      ...{ serverName: HERE, ed25519: nativeEd25519, keyStore: store, clock: Date.now, random: Math.random },
      signingKey: signingKeyFromSeed('ed25519:ours' as KeyId, new Uint8Array(32).fill(7)),
      oldVerifyKeys: new Map(),
      caCertificates: [crowd.ca],
      allowedNetworks: loopback === undefined ? [] : [loopback],
      trustedKeyServers: [],
      dnsServers: [crowd.dns],
      hostsPath: '/nowhere/hosts',
      maxDeliveries: LANES,
    })
    let delivered = 0
    const problems: unknown[] = []
    const worker = createDeliveryWorker({
      ...{ queue: store, sender: federation.sender, clock: Date.now, random: Math.random, maxParallel: LANES },
      observer: {
        delivered: () => delivered++,
        failed: (destination, _attempts, reason) => problems.push([destination, reason]),
        halved: (destination) => problems.push([destination, 'halved']),
        refused: (destination) => problems.push([destination, 'refused']),
        gaveUp: () => problems.push('gave up'),
        fault: (error) => problems.push(error),
      },
    })
    closing.push(
      () => federation.close(),
      () => worker.stop(0),
    )
    const stalls = watchEventLoop()
    worker.start()
    await accept(store, knock('k', CAROL, ['bob']))
    await vi.waitFor(() => expect(delivered).toBe(SERVERS), { timeout: 170_000, interval: 200 })
    const loop = stalls.end()
    const { hosts, connections, mostOpen } = await crowd.report()
    expect(problems).toEqual([])
    expect([...new Set(hosts)].sort()).toEqual([...names].sort())
    expect(hosts).toHaveLength(SERVERS)
    expect(connections).toBe(SERVERS)
    // The other side sees a connection end a moment after it was closed here.
    expect(mostOpen).toBeLessThanOrEqual(LANES + 8)
    // A thread that was not let run for a while finds many handshakes ready at once: so a few turns may be longer.
    expect(loop.turns).toBeGreaterThan(500)
    expect(loop.usual).toBeLessThan(50)
    expect(loop.longest).toBeLessThan(250)
  })
})
