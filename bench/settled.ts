/** When a service has done what accepted knocks leave behind. */
import type { RunningService } from './service.ts'

const WITHIN_MS = 90_000
const EVERY_MS = 250

/** Waits until every accepted knock has become one row per destination. @throws Error where that takes too long */
export async function untilQueued(service: RunningService): Promise<void> {
  const deadline = performance.now() + WITHIN_MS
  let before = Number.NaN
  for (;;) {
    const waiting = await service.metric('matrix_knock_delivery_waiting')
    if (waiting === before) return
    if (performance.now() > deadline) throw new Error('accepted knocks are not queued for their destinations in time')
    before = waiting
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
  }
}
