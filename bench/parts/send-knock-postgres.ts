/** send_knock on PostgreSQL beside its floor: the same rows by the same statement, from a bare loop. */
import { figuresBesideFloor } from '../beside-floor.ts'
import { startCommitFloor } from '../commit-floor.ts'
import type { Figure, Part } from '../figures.ts'
import { inPairs } from '../pairs.ts'
import { startBenchPostgres } from '../postgres.ts'
import { counted } from '../processor-time.ts'
import { knocksInTurn, requestsOf, roomsOfTwentyServers, setScene } from '../scene.ts'
import { startService } from '../service.ts'
import { untilQueued } from '../settled.ts'
import { stageRoom } from '../staging.ts'
import { withStore } from '../store-place.ts'
import { storedKnocks, storing } from '../stored-rows.ts'

const ROOMS = 64
/** Of the load to the service, of the service to the database, and of the floor to it. */
const CONNECTIONS = 32
const REQUESTS = 1_600
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
  const pairs = await inPairs(
    (pair) => {
      const knocks = knocksInTurn(scene, scene.rooms, `pair${pair}`, REQUESTS)
      return { knocks, requests: requestsOf(scene, knocks) }
    },
    ({ knocks }) =>
      counted(floor.cpuSeconds, () =>
        storing(
          () => storedKnocks(bare),
          () => floor.record(knocks),
        ),
      ),
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
  return figuresBesideFloor('send_knock_postgres', CONNECTIONS, AIM, pairs)
}
