/**
 * The delivering side alone, so that its memory and its event loop can be measured. Started with an IPC channel; takes
 * `{ path, ca, dns }`, delivers what waits in the store there, and says what that cost.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { createDeliveryWorker } from '../../../src/federation/delivery/worker.ts'
import { parseNetwork } from '../../../src/federation/discovery/address-filter.ts'
import { createFederation } from '../../../src/federation/federation.ts'
import { nativeEd25519 } from '../../../src/matrix/ed25519.ts'
import type { KeyId } from '../../../src/matrix/identifiers.ts'
import { signingKeyFromSeed } from '../../../src/matrix/portable-ed25519.ts'
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts'
import { HERE } from '../../store/sample-room.ts'

export interface FatOrder {
  readonly path: string
  readonly ca: string
  readonly dns: string
}

export interface FatReport {
  readonly delivered: number
  /** Longest that the thread computed between two turns of its event loop. Milliseconds. */
  readonly longestTurnMs: number
  readonly rssGrowthMb: number
  readonly problems: readonly string[]
}

/** Of this thread, in milliseconds: a clock on the wall would also tell how busy the machine is. */
const computed = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6
const rssMb = () => process.memoryUsage.rss() / 1024 / 1024

async function deliver({ path, ca, dns }: FatOrder): Promise<FatReport> {
  const store = await openSqliteStore({ path, clock: Date.now })
  const loopback = parseNetwork('127.0.0.0/8')
  const federation = createFederation({
    ...{ serverName: HERE, ed25519: nativeEd25519, keyStore: store, clock: Date.now, random: Math.random },
    signingKey: signingKeyFromSeed('ed25519:ours' as KeyId, new Uint8Array(32).fill(7)),
    ...{ oldVerifyKeys: new Map(), caCertificates: [ca], trustedKeyServers: [] },
    allowedNetworks: loopback === undefined ? [] : [loopback],
    ...{ dnsServers: [dns], hostsPath: '/nowhere/hosts' },
  })
  let delivered = 0
  const problems: string[] = []
  const worker = createDeliveryWorker({
    ...{ queue: store, sender: federation.sender, clock: Date.now, random: Math.random },
    observer: {
      delivered: (_destination, events) => {
        delivered += events
      },
      failed: (destination, _attempts, reason) => problems.push(`${destination}: ${reason}`),
      halved: (destination) => problems.push(`${destination}: halved`),
      refused: (destination) => problems.push(`${destination}: refused`),
      gaveUp: (destination) => problems.push(`${destination}: gave up`),
      fault: (error) => problems.push(String(error)),
    },
  })
  while (await store.expand());
  await pause(500)
  const before = rssMb()
  let most = before
  let longest = 0
  let turn = computed()
  const timer = setInterval(() => {
    const now = computed()
    longest = Math.max(longest, now - turn)
    turn = now
    most = Math.max(most, rssMb())
  }, 1)
  worker.start()
  while ((await store.depth(Date.now())).waiting > 0) await pause(50)
  clearInterval(timer)
  await worker.stop(1_000)
  await federation.close()
  await store.close()
  return { delivered, longestTurnMs: longest, rssGrowthMb: most - before, problems }
}

process.once('message', async (order: FatOrder) => {
  process.send?.(await deliver(order))
  process.disconnect()
})
