/** How long the service takes to be ready with many rooms. */
import type { Figure, Part } from '../figures.ts'
import { type BenchRoom, planRoom } from '../rooms.ts'
import { setScene } from '../scene.ts'
import { startService } from '../service.ts'
import { median } from '../statistics.ts'

const ROOMS = 1_000
const MEMBERS = 5
const STARTS = 5

export const startPart: Part = { name: 'start', measure }

async function measure(): Promise<readonly Figure[]> {
  const scene = await setScene((here) =>
    Array.from({ length: ROOMS }, (_, index): BenchRoom => {
      return planRoom({ name: `room${index}`, here, others: [here], members: MEMBERS, tips: 1 })
    }),
  )
  const times: number[] = []
  for (let start = 0; start < STARTS; start++) {
    const service = await startService(scene.directory)
    times.push(service.readyAfterMs)
    await service.stop()
  }
  scene.close()
  return [
    {
      key: 'ready_ms',
      what: `from the start of the process until it serves, with ${ROOMS} rooms in the store`,
      value: median(times),
      unit: 'ms',
      aim: { below: 1_000 },
    },
  ]
}
