/** send_knock at two processes on one PostgreSQL beside one process on another, all of them and the load on one machine. */
import type { Figure, Part } from '../figures.ts'
import { type Load, startLoad } from '../load.ts'
import type { LoadResult } from '../load-protocol.ts'
import { inPairs, medianOf, perSecond, throughputRatio } from '../pairs.ts'
import { startBenchPostgres } from '../postgres.ts'
import { roomsOfTwentyServers, type Scene, sendKnockRequests, setScene } from '../scene.ts'
import { createServiceDirectory, startService } from '../service.ts'
import { untilQueued } from '../settled.ts'
import { storedKnocks, storing } from '../stored-rows.ts'

const ROOMS = 64
const CONNECTIONS = 32
const POOL_SIZE = 16
const REQUESTS = 1_000

export const twoReplicasPart: Part = { name: 'two_replicas', measure }

async function measure(): Promise<readonly Figure[]> {
  const postgres = await startBenchPostgres()
  const alone = await setScene(roomsOfTwentyServers(ROOMS), {
    store: await postgres.createDatabase('alone', POOL_SIZE),
  })
  const shared = await setScene(roomsOfTwentyServers(ROOMS), {
    store: await postgres.createDatabase('both', POOL_SIZE),
  })
  const other = await createServiceDirectory(shared.here, { store: shared.directory.store })
  const services = {
    alone: await startService(alone.directory),
    first: await startService(shared.directory),
    second: await startService(other),
  }
  const loads = [startLoad(), startLoad()] as const
  const run = (scene: Scene, ports: readonly [number, number], requests: readonly string[]) =>
    storing(
      () => storedKnocks(scene.directory.store),
      () => inHalves(loads, ports, requests),
    )

  const pairs = await inPairs(
    (pair) => ({
      toOne: sendKnockRequests(alone, alone.rooms, `pair${pair}`, REQUESTS),
      toTwo: sendKnockRequests(shared, shared.rooms, `pair${pair}`, REQUESTS),
    }),
    async ({ toOne }) => {
      const result = await run(alone, [alone.directory.port, alone.directory.port], toOne)
      await untilQueued(services.alone)
      return result
    },
    async ({ toTwo }) => {
      const result = await run(shared, [shared.directory.port, other.port], toTwo)
      await untilQueued(services.first)
      return result
    },
  )
  for (const service of Object.values(services)) await service.stop()
  for (const load of loads) load.close()
  other.remove()
  for (const scene of [alone, shared]) scene.close()
  await postgres.close()
  const what = `send_knock, ${CONNECTIONS} connections`
  const rate = (side: 0 | 1) => medianOf(pairs, side, perSecond)
  return [
    {
      key: 'two_replicas_ratio',
      what: `${what}: throughput of two processes on one PostgreSQL by that of one`,
      value: throughputRatio(pairs),
      unit: '',
    },
    { key: 'one_replica_per_second', what: `${what}: one process`, value: rate(0), unit: '/s' },
    { key: 'two_replicas_per_second', what: `${what}: two processes`, value: rate(1), unit: '/s' },
  ]
}

/** Every second request to either port, each half from a process and on connections of its own. */
async function inHalves(
  [first, second]: readonly [Load, Load],
  ports: readonly [number, number],
  requests: readonly string[],
): Promise<LoadResult> {
  const half = (side: 0 | 1) => ({
    port: ports[side],
    connections: CONNECTIONS / 2,
    requests: requests.filter((_, index) => index % 2 === side),
  })
  const results = await Promise.all([first.run(half(0)), second.run(half(1))])
  const slower = (value: (result: LoadResult) => number) => Math.max(...results.map(value))
  return {
    answers: requests.length,
    seconds: slower(({ seconds }) => seconds),
    p50: slower(({ p50 }) => p50),
    p99: slower(({ p99 }) => p99),
    longest: slower(({ longest }) => longest),
  }
}
