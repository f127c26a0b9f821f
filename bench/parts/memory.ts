/** How much memory the service has after some work. */
import type { Figure, Part } from '../figures.ts'
import { makeKnockRequests, roomsOfTwentyServers, sendKnockRequests, setScene } from '../scene.ts'
import { startService } from '../service.ts'

const ROOMS = 8
const REQUESTS = 10_000
const CONNECTIONS = 16

export const memoryPart: Part = { name: 'memory', measure }

async function measure(): Promise<readonly Figure[]> {
  const scene = await setScene(roomsOfTwentyServers(ROOMS))
  const service = await startService(scene.directory)
  const resident = async () => (await service.metric('process_resident_memory_bytes')) / 1_000_000
  const { port } = scene.directory
  const atStart = await resident()
  const half = REQUESTS / 2
  for (const requests of [
    makeKnockRequests(scene, scene.rooms, 'template', half),
    sendKnockRequests(scene, scene.rooms, 'knock', half),
  ]) {
    await scene.load.run({ port, connections: CONNECTIONS, requests })
  }
  const afterwards = await resident()
  await service.stop()
  scene.close()
  return [
    {
      key: 'rss_mb',
      what: `resident memory of the service after ${REQUESTS} requests, half of them send_knock`,
      value: afterwards,
      unit: 'MB',
      aim: { below: 150 },
    },
    { key: 'rss_at_start_mb', what: 'resident memory of the service when it is ready', value: atStart, unit: 'MB' },
  ]
}
