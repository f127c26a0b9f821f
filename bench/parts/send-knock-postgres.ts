/** send_knock on PostgreSQL beside its floor: the same rows by the same statement, from a bare loop. */
import { figuresBesideFloor } from '../beside-floor.ts'
import { startCommitFloor } from '../commit-floor.ts'
import type { Figure, Part } from '../figures.ts'
import type { LoadResult } from '../load-protocol.ts'
import { inPairs, medianOf, type Pairs, perSecond, throughputRatio } from '../pairs.ts'
import { startBenchPostgres } from '../postgres.ts'
import { counted } from '../processor-time.ts'
import type { RoomKnock } from '../rooms.ts'
import { knocksInTurn, requestsOf, roomsOfTwentyServers, setScene } from '../scene.ts'
import { startService } from '../service.ts'
import { untilQueued } from '../settled.ts'
import { stageRoom } from '../staging.ts'
import { withStore } from '../store-place.ts'
import { storedKnocks, storing } from '../stored-rows.ts'

const ROOMS = 64
/** Of the load to the service, of the service to the database, and of the floor to it. */
const CONNECTIONS = 32
const REQUESTS = 1_280
const AIM = 0.6

export const sendKnockPostgresPart: Part = { name: 'send_knock_postgres', measure }

async function measure(): Promise<readonly Figure[]> {
  const postgres = await startBenchPostgres()
  const store = await postgres.createDatabase('service', CONNECTIONS)
  const bare = await postgres.createDatabase('bare', CONNECTIONS)
  const scene = await setScene(roomsOfTwentyServers(ROOMS), { store })
  await withStore(bare, async (opened) => {
    for (const room of scene.rooms) await stageRoom(opened, scene.here, room)
  })
  const floor = await startCommitFloor(bare, CONNECTIONS, scene.here.identity.name)
  const service = await startService(scene.directory)
  const { port } = scene.directory
  const inFloor = (run: () => Promise<LoadResult>) => storing(() => storedKnocks(bare), run)
  const withReads: LoadResult[] = []
  const pairs = await inPairs(
    (pair) => {
      const [knocks, others] = [`pair${pair}`, `other${pair}`].map((name) => {
        return knocksInTurn(scene, scene.rooms, name, REQUESTS)
      }) as [readonly RoomKnock[], readonly RoomKnock[]]
      return { knocks, others, requests: requestsOf(scene, knocks) }
    },
    async ({ knocks, others }) => {
      const result = await counted(floor.cpuSeconds, () => inFloor(() => floor.record(knocks)))
      withReads.push(await inFloor(() => floor.readAndRecord(others)))
      return result
    },
    async ({ requests }) => {
      const run = () => scene.load.run({ port, connections: CONNECTIONS, requests })
      const result = await counted(service.cpuSeconds, () => storing(() => storedKnocks(store), run))
      await untilQueued(service)
      return result
    },
  )
  await service.stop()
  await floor.close()
  scene.close()
  await postgres.close()
  return [
    ...figuresBesideFloor('send_knock_postgres', CONNECTIONS, AIM, pairs),
    ...figuresWithReads(pairs, withReads.slice(1)),
  ]
}

/** Beside a floor that also asks the database what the service asks before it decides. @param withReads one for each pair */
function figuresWithReads(pairs: Pairs, withReads: readonly LoadResult[]): readonly Figure[] {
  const besideReads = pairs.map(([, service], index) => [withReads[index] as LoadResult, service] as const)
  return [
    {
      key: 'send_knock_postgres_with_reads_ratio',
      what: 'throughput of the service by that of a floor that reads too what the service reads',
      value: throughputRatio(besideReads),
      unit: '',
    },
    {
      key: 'send_knock_postgres_with_reads_floor_per_second',
      what: 'that floor',
      value: medianOf(besideReads, 0, perSecond),
      unit: '/s',
    },
  ]
}
