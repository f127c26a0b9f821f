/** make_knock beside a homeserver whose feed is live, in rooms that are known already: beside the floor of make_knock. */
import { figuresBesideFloor } from '../beside-floor.ts'
import type { Figure, Part } from '../figures.ts'
import { inPairs } from '../pairs.ts'
import { counted } from '../processor-time.ts'
import { startResident } from '../resident/resident.ts'
import { HERE, makeKnockRequests, roomsOfTwentyServers, setScene } from '../scene.ts'
import { startService } from '../service.ts'

const ROOMS = 8
const CONNECTIONS = 16
const REQUESTS = 4_000
const AIM = 0.75
const ANSWER_MS = 20

export const besideHomeserverPart: Part = { name: 'beside_homeserver', measure }

async function measure(): Promise<readonly Figure[]> {
  const resident = await startResident(HERE, ANSWER_MS)
  const scene = await setScene(() => [], resident.sections)
  const rooms = roomsOfTwentyServers(ROOMS)(scene.here)
  for (const room of rooms) await resident.serve(room)
  const floor = await scene.startFloor('make-knock-floor')
  const service = await startService(scene.directory)
  const run = (port: number, cpuSeconds: () => Promise<number>) => (requests: readonly string[]) =>
    counted(cpuSeconds, () => scene.load.run({ port, connections: CONNECTIONS, requests }))

  await resident.liven()
  await run(scene.directory.port, service.cpuSeconds)(makeKnockRequests(scene, rooms, 'first', REQUESTS))
  const afterFirst = await resident.count()
  if (afterFirst === 0) throw new Error('the rooms were not read from the homeserver')
  const pairs = await inPairs(
    (pair) => makeKnockRequests(scene, rooms, `pair${pair}`, REQUESTS),
    run(floor.port, floor.cpuSeconds),
    run(scene.directory.port, service.cpuSeconds),
  )
  const asked = (await resident.count()) - afterFirst
  if (asked > 0) throw new Error(`templates for rooms that are known cost the homeserver ${asked} requests`)
  await service.stop()
  await floor.close()
  scene.close()
  resident.close()
  return figuresBesideFloor('make_knock_beside_homeserver', CONNECTIONS, AIM, pairs)
}
