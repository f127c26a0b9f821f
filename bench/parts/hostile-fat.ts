/** What it costs to deliver knocks of the worst shape, as large as events may be, to the other servers of a room. */
import { setTimeout as pause } from 'node:timers/promises'
import type { JsonRecord } from '../../test/support/signing.ts'
import type { Figure, Part } from '../figures.ts'
import { longestStall, watchMemory } from '../hostile/watched-process.ts'
import { serversNamed, startWorld, type World } from '../hostile/world.ts'
import { createSigner } from '../native-signing.ts'
import { type BenchRoom, knockOn, planRoom, sendKnockRequest } from '../rooms.ts'
import { HERE, type Scene, setScene } from '../scene.ts'
import { runCommand, startService } from '../service.ts'

const SERVERS = 15
const KNOCKS = 60
const CONNECTIONS = 8
/** Three bytes each: with all that an event has else, just under its 65,536 bytes. */
const EMPTY_OBJECTS = 21_400
/** What has not come by then is not waited for: the part is to end. */
const WITHIN_MS = 25_000
const LOOK_MS = 50

export const hostileFatPart: Part = { name: 'hostile_fat', measure }

interface Cost {
  readonly stall: number
  readonly growth: number
  readonly seconds: number
  /** Of the deliveries, those that came in time. */
  readonly received: number
}

async function measure(): Promise<readonly Figure[]> {
  const content = { 'org.example.fat': Array.from({ length: EMPTY_OBJECTS }, () => ({})) }
  const lean = await costOf({})
  const fat = await costOf(content)
  const what = `while ${KNOCKS} knocks of 64 KB of empty objects go to ${SERVERS} servers`
  return [
    {
      key: 'hostile_fat_stall_ms',
      what: `longest stall of the event loop ${what}`,
      ...{ value: fat.stall, unit: 'ms', aim: { atMost: 50 } },
    },
    { key: 'hostile_fat_lean_stall_ms', what: 'the same with usual knocks', value: lean.stall, unit: 'ms' },
    {
      key: 'hostile_fat_rss_mb',
      what: `growth of resident memory ${what}`,
      ...{ value: fat.growth, unit: 'MB', aim: { atMost: 150 } },
    },
    { key: 'hostile_fat_lean_rss_mb', what: 'the same with usual knocks', value: lean.growth, unit: 'MB' },
    { key: 'hostile_fat_seconds', what: 'until all of them had all', value: fat.seconds, unit: 's' },
    {
      key: 'hostile_fat_received',
      what: `of all deliveries, those within ${WITHIN_MS / 1000} s`,
      ...{ value: fat.received, unit: '' },
    },
  ]
}

/** The servers are away until all knocks are stored, so that as many as can be go out together. */
async function costOf(content: JsonRecord): Promise<Cost> {
  const servers = serversNamed('fat', 1, SERVERS)
  const world = await startWorld({ servers })
  const others = servers.map(({ host }) => createSigner(`${host}:${world.place.port}`))
  const limits = { per_user: null, per_room: null, per_server: null }
  const plan = (here: ReturnType<typeof createSigner>) => [
    planRoom({ name: 'fat', here, others, members: SERVERS + 1, tips: 1 }),
  ]
  const scene = await setScene(plan, { ...world.sections, limits })
  const service = await startService(scene.directory)
  await world.open(false)
  await longestStall(service)
  const memory = watchMemory(service.pid)
  const requests = knocks(scene, scene.rooms[0] as BenchRoom, content)
  await scene.load.run({ port: scene.directory.port, connections: CONNECTIONS, requests })
  await world.open(true)
  const start = performance.now()
  await runCommand(scene.directory, 'deliveries', 'retry', '--all')
  const received = await receivedInTime(world, KNOCKS * SERVERS)
  const seconds = (performance.now() - start) / 1000
  const cost = { stall: await longestStall(service), growth: memory.end(), seconds, received }
  await service.kill()
  scene.close()
  world.close()
  return cost
}

function knocks({ knocker }: Scene, room: BenchRoom, content: JsonRecord): readonly string[] {
  return Array.from({ length: KNOCKS }, (_, index) => {
    // All of one server.
    const { server } = knocker('fat', 0)
    const who = { userId: `@fat${index}:${server.identity.name}`, server }
    return sendKnockRequest({ room, knocker: who, event: knockOn(room, who, undefined, content) }, HERE)
  })
}

/** Waits until all deliveries have come, or as long as is waited. @returns the share that has come */
async function receivedInTime(world: World, wanted: number): Promise<number> {
  const deadline = performance.now() + WITHIN_MS
  for (;;) {
    const { received } = await world.report()
    const events = received.reduce((sum, one) => sum + one.events, 0)
    if (events >= wanted || performance.now() > deadline) return Math.min(1, events / wanted)
    await pause(LOOK_MS)
  }
}
