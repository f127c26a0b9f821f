/** make_knock beside its floor. */
import { figuresBesideFloor } from '../beside-floor.ts'
import type { Figure, Part } from '../figures.ts'
import { inPairs } from '../pairs.ts'
import { counted } from '../processor-time.ts'
import { makeKnockRequests, roomsOfTwentyServers, setScene } from '../scene.ts'
import { startService } from '../service.ts'

const ROOMS = 8
const CONNECTIONS = 16
const REQUESTS = 4_000
const AIM = 0.75

export const makeKnockPart: Part = { name: 'make_knock', measure }

async function measure(): Promise<readonly Figure[]> {
  const scene = await setScene(roomsOfTwentyServers(ROOMS))
  const floor = await scene.startFloor('make-knock-floor')
  const service = await startService(scene.directory)
  const run = (port: number, cpuSeconds: () => Promise<number>) => (requests: readonly string[]) =>
    counted(cpuSeconds, () => scene.load.run({ port, connections: CONNECTIONS, requests }))
  const pairs = await inPairs(
    (pair) => makeKnockRequests(scene, scene.rooms, `pair${pair}`, REQUESTS),
    run(floor.port, floor.cpuSeconds),
    run(scene.directory.port, service.cpuSeconds),
  )
  await service.stop()
  await floor.close()
  scene.close()
  return figuresBesideFloor('make_knock', CONNECTIONS, AIM, pairs)
}
