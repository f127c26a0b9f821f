/** send_knock beside its floor, both on disk before they answer. */
import { join } from 'node:path'
import { figuresBesideFloor } from '../beside-floor.ts'
import type { Figure, Part } from '../figures.ts'
import { inPairs } from '../pairs.ts'
import { counted } from '../processor-time.ts'
import { roomsOfTwentyServers, sendKnockRequests, setScene } from '../scene.ts'
import { startService } from '../service.ts'
import { untilQueued } from '../settled.ts'
import { storedInFloor, storedKnocks, storing } from '../stored-rows.ts'

const ROOMS = 8
const CONNECTIONS = 32
const REQUESTS = 2_000
const AIM = 0.5

export const sendKnockPart: Part = { name: 'send_knock', measure }

async function measure(): Promise<readonly Figure[]> {
  const scene = await setScene(roomsOfTwentyServers(ROOMS))
  const floor = await scene.startFloor('send-knock-floor')
  const service = await startService(scene.directory)
  const run = (port: number, requests: readonly string[]) =>
    scene.load.run({ port, connections: CONNECTIONS, requests })
  const inFloor = () => storedInFloor(join(scene.floorDirectory, 'floor.db'))
  const inStore = () => storedKnocks(scene.directory.store)
  const pairs = await inPairs(
    (pair) => sendKnockRequests(scene, scene.rooms, `pair${pair}`, REQUESTS),
    (requests) => counted(floor.cpuSeconds, () => storing(inFloor, () => run(floor.port, requests))),
    async (requests) => {
      const stored = () => storing(inStore, () => run(scene.directory.port, requests))
      const result = await counted(service.cpuSeconds, stored)
      // What this run left to be done in the background must not slow the next one down.
      await untilQueued(service)
      return result
    },
  )
  await service.stop()
  await floor.close()
  scene.close()
  return figuresBesideFloor('send_knock', CONNECTIONS, AIM, pairs)
}
