/** A floor server as measurements use it. */
import { once } from 'node:events'
import type { FloorMessage, FloorStart } from './floors/floor-app.ts'
import { answerOf, forkTypeScript } from './forked.ts'

export type FloorName = 'make-knock-floor' | 'send-knock-floor'

export interface Floor {
  readonly port: number
  /** Seconds of processor time that it has taken, of all its threads. */
  cpuSeconds(): Promise<number>
  close(): Promise<void>
}

export async function startFloor(name: FloorName, start: FloorStart): Promise<Floor> {
  const child = forkTypeScript(`./floors/${name}.ts`)
  const send = (message: FloorMessage): void => void child.send(message)
  send(start)
  const port = await answerOf<number>(child)
  return {
    port,
    cpuSeconds() {
      send('cpu seconds')
      return answerOf<number>(child)
    },
    async close() {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}
