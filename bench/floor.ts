/** A floor server as measurements use it. */
import { once } from 'node:events'
import type { FloorStart } from './floors/floor-app.ts'
import { answerOf, forkTypeScript } from './forked.ts'

export type FloorName = 'make-knock-floor' | 'send-knock-floor'

export interface Floor {
  readonly port: number
  close(): Promise<void>
}

export async function startFloor(name: FloorName, start: FloorStart): Promise<Floor> {
  const child = forkTypeScript(`./floors/${name}.ts`)
  child.send(start)
  const port = await answerOf<number>(child)
  return {
    port,
    async close() {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}
