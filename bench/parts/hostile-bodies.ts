/** What bodies of nobody cost: how long the event loop stands still for one, and how much memory two hundred of them take. */

import type { Figure, Part } from '../figures.ts'
import { answerOf, forkTypeScript } from '../forked.ts'
import { forgedHead, shapes } from '../hostile/bodies.ts'
import { type Sender, startSender } from '../hostile/sender.ts'
import { longestStall, watchMemory } from '../hostile/watched-process.ts'
import { startWorld } from '../hostile/world.ts'
import { HERE, setScene } from '../scene.ts'
import { startService } from '../service.ts'

/** The best round counts: what others do to the machine is no stall of the service. */
const ROUNDS = 2
const BODIES = { count: 3, perSecond: 12, withinMs: 10_000 }
const AT_ONCE = 200
/** Names hang in DNS until the look-up is given up: meanwhile the body is held, or it is not. */
const KEY_LOOKUP_SECONDS = 3
const HELD = { perSecond: Number.POSITIVE_INFINITY, withinMs: 10_000 }
/** A heap as small machines have it, so that this one is not filled. */
const HEAP = '--max-old-space-size=512'

export const hostileBodiesPart: Part = { name: 'hostile_bodies', measure }

async function measure(): Promise<readonly Figure[]> {
  const hanging = Array.from({ length: AT_ONCE }, (_, index) => `hang${index}.example.test`)
  const zones = Object.fromEntries(hanging.map((name) => [name, 'hang' as const]))
  const world = await startWorld({ zones })
  const timeouts = { key_lookup_seconds: KEY_LOOKUP_SECONDS }
  const scene = await setScene(() => [], { ...world.sections, timeouts })
  const sender = startSender()
  const floor = await startDiscardFloor()
  const stall = await stallsOf(sender, scene.directory, floor)

  const service = await startService(scene.directory, HEAP)
  const [growth, floorGrowth] = [
    await growthOf(sender, scene.directory.port, service.pid, hanging),
    await growthOf(sender, floor.port, floor.pid, hanging),
  ]
  if (!service.runs()) console.error(`The service ended under ${AT_ONCE} bodies, with ${HEAP}.`)
  await service.kill()
  for (const one of [sender, floor, scene, world]) one.close()
  return [
    {
      key: 'hostile_stall_ms',
      what: `longest stall of the event loop under 1 MiB of nobody (${stall.shape}), best of ${ROUNDS} rounds`,
      value: stall.service,
      unit: 'ms',
      aim: { atMost: 20 },
    },
    { key: 'hostile_stall_floor_ms', what: 'a server that reads and discards', value: stall.floor, unit: 'ms' },
    {
      key: 'hostile_body_rss_mb',
      what: `growth of resident memory with ${AT_ONCE} of them at once (heap of 512 MB)`,
      value: growth,
      unit: 'MB',
      aim: { atMost: 64 },
    },
    { key: 'hostile_body_rss_floor_mb', what: 'a server that reads and discards', value: floorGrowth, unit: 'MB' },
  ]
}

interface DiscardFloor {
  readonly port: number
  readonly pid: number
  longestStall(): Promise<number>
  close(): void
}

async function startDiscardFloor(): Promise<DiscardFloor> {
  const child = forkTypeScript('./floors/discard-floor.ts')
  const port = await answerOf<number>(child)
  return {
    port,
    pid: child.pid ?? 0,
    longestStall() {
      child.send('longest stall')
      return answerOf<number>(child)
    },
    close: () => child.disconnect(),
  }
}

/** The worst shape of all, each by the best of its rounds. */
async function stallsOf(sender: Sender, directory: Parameters<typeof startService>[0], floor: DiscardFloor) {
  const service = await startService(directory)
  let worst = { shape: '', service: 0, floor: 0 }
  for (const [shape, body] of shapes()) {
    const bests = { service: Number.POSITIVE_INFINITY, floor: Number.POSITIVE_INFINITY }
    for (let round = 0; round < ROUNDS; round++) {
      const stallOf = async (port: number, stall: () => Promise<number>): Promise<number> => {
        await stall()
        await sender.send({ ...BODIES, port, heads: headsFrom(literals(round), body.length), body })
        return stall()
      }
      const atService = await stallOf(directory.port, () => longestStall(service))
      bests.service = Math.min(bests.service, atService)
      bests.floor = Math.min(bests.floor, await stallOf(floor.port, floor.longestStall))
    }
    console.error(`  ${shape}: ${bests.service.toFixed(0)} ms, floor ${bests.floor.toFixed(0)} ms`)
    if (bests.service >= worst.service) worst = { shape, ...bests }
  }
  await service.kill()
  return worst
}

/** Origins whose keys cannot be had: nobody may connect to addresses for documentation. */
function literals(round: number): readonly string[] {
  return Array.from({ length: BODIES.count }, (_, index) => `192.0.2.${index + 1}:${9_000 + round}`)
}

function headsFrom(origins: readonly string[], bodyLength: number): readonly string[] {
  return origins.map((origin, index) => forgedHead(origin, HERE, index, bodyLength))
}

/** @returns MB */
async function growthOf(sender: Sender, port: number, pid: number, origins: readonly string[]): Promise<number> {
  const [[, body] = ['', '']] = shapes()
  const memory = watchMemory(pid)
  await sender.send({ ...HELD, port, heads: headsFrom(origins, body.length), body })
  return memory.end()
}
