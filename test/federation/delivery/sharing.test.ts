/** Several workers on one store of this process. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { TransactionSender } from '../../../src/federation/delivery/transaction.ts'
import { createDeliveryWorker, type DeliveryWorker } from '../../../src/federation/delivery/worker.ts'
import type { Store } from '../../../src/knock/ports/store.ts'
import type { UserId } from '../../../src/matrix/identifiers.ts'
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts'
import { namesIn } from '../../store/claiming.ts'
import { accept, importRoom, knock, member, sampleState } from '../../store/sample-room.ts'
import { createMemoryStore } from '../../support/memory-store/memory-store.ts'

const DESTINATIONS = Array.from({ length: 12 }, (_, at) => `s${at}.test`)
const KNOCKS = 40

describe('workers that share a store', () => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  const stores: Readonly<Record<string, () => Promise<Store>>> = {
    memory: async () => createMemoryStore({ clock: Date.now }),
    async sqlite() {
      const directory = await mkdtemp(join(tmpdir(), 'knock-shared-'))
      const store = await openSqliteStore({ path: join(directory, 'knock.db'), clock: Date.now })
      closing.push(
        () => rm(directory, { recursive: true }),
        () => store.close(),
      )
      return store
    },
  }

  /** Takes a few milliseconds, fails every fifth time, and notes what arrives where. */
  function createDestinations() {
    const underWay = new Map<string, number>()
    const arrived = new Map<string, string[]>()
    let most = 0
    let sent = 0
    const sender: TransactionSender = {
      async send(transaction) {
        const { destination } = transaction
        const now = (underWay.get(destination) ?? 0) + 1
        underWay.set(destination, now)
        most = Math.max(most, now)
        await new Promise((resolve) => setTimeout(resolve, sent++ % 7))
        underWay.set(destination, (underWay.get(destination) ?? 0) - 1)
        if (sent % 5 === 0) return { kind: 'failed', reason: 'no' }
        arrived.set(destination, [...(arrived.get(destination) ?? []), ...(namesIn(transaction) ?? [])])
        return { kind: 'delivered' }
      },
    }
    return { sender, arrived, mostAtOnce: () => most }
  }

  it.each(Object.keys(stores))(
    'G3 (%s) never send to one destination at a time, and lose nothing',
    async (kind) => {
      const store = (await stores[kind]?.()) ?? expect.fail()
      const crowd = DESTINATIONS.map((server, at) => member(`m${at}`, `@m:${server}`, 'join'))
      await importRoom(store, { state: [...sampleState().slice(0, 4), ...crowd] })
      const { sender, arrived, mostAtOnce } = createDestinations()
      const workers: DeliveryWorker[] = []
      for (let count = 0; count < 3; count++) {
        const worker = createDeliveryWorker({
          ...{ queue: store, sender, clock: Date.now, random: Math.random, maxParallel: 5, firstBackoffMs: 20 },
          observer: {
            ...{ delivered: () => {}, failed: () => {}, gaveUp: expect.unreachable },
            ...{ halved: expect.unreachable, refused: expect.unreachable, fault: expect.unreachable },
          },
        })
        workers.push(worker)
        closing.push(() => worker.stop(1_000))
        worker.start()
      }
      const names = Array.from({ length: KNOCKS }, (_, at) => `k${at}`)
      for (const name of names) await accept(store, knock(name, `@${name}:remote.test` as UserId, ['bob']))
      await vi.waitFor(async () => expect((await store.depth(Date.now())).waiting).toBe(0), {
        ...{ timeout: 20_000, interval: 50 },
      })
      expect(mostAtOnce()).toBe(1)
      for (const server of DESTINATIONS) expect(arrived.get(server)).toEqual(names)
    },
    30_000,
  )
})
