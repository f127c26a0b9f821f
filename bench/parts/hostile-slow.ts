/** How long a server that is there waits for its knock behind a hundred that answer just before they are given up. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Figure, Part } from '../figures.ts'
import { serversNamed, startWorld, type World } from '../hostile/world.ts'
import { LoadConnection } from '../load-connection.ts'
import { createSigner, type Signer } from '../native-signing.ts'
import { type BenchRoom, planRoom } from '../rooms.ts'
import { type Scene, sendKnockRequests, setScene } from '../scene.ts'
import { startService } from '../service.ts'

const SLOW = 100
/** Sixty by default: lowered, so that the part does not take half an hour. What waits, waits as much less. */
const DELIVERY_SECONDS = 4
const SLOW_ANSWER_MS = DELIVERY_SECONDS * 900
/** One knock a second keeps all of them busy. */
const KNOCKS = 14
const EACH_MS = 1_000
/** A wait of more is not measured: the part is to end. */
const WITHIN_MS = 20_000
const LOOK_MS = 50

export const hostileSlowPart: Part = { name: 'hostile_slow', measure }

async function measure(): Promise<readonly Figure[]> {
  const slow = serversNamed('slow', 1, SLOW, SLOW_ANSWER_MS)
  const [good] = serversNamed('good', 2, 1)
  if (good === undefined) throw new Error('there is one')
  const world = await startWorld({ servers: [...slow, good] })
  const signerOf = ({ host }: { readonly host: string }): Signer => createSigner(`${host}:${world.place.port}`)
  const plan = (here: Signer) => [
    planRoom({ name: 'alone', here, others: [signerOf(good)], members: 2, tips: 1 }),
    planRoom({ name: 'crowded', here, others: [...slow, good].map(signerOf), members: SLOW + 2, tips: 1 }),
  ]
  const scene = await setScene(plan, {
    ...world.sections,
    timeouts: { delivery_seconds: DELIVERY_SECONDS },
    limits: { per_user: null, per_room: null, per_server: null },
  })
  const [alone, crowded] = scene.rooms as [BenchRoom, BenchRoom]
  const service = await startService(scene.directory)
  const quiet = await waitsOf(scene, world, good.host, { room: alone, name: 'quiet', knocks: 1 })
  const waits = await waitsOf(scene, world, good.host, { room: crowded, name: 'crowded', knocks: KNOCKS })
  await service.kill()
  scene.close()
  world.close()
  return [
    {
      key: 'hostile_slow_wait_s',
      what: `longest wait of a good server for a knock, behind ${SLOW} that answer after ${SLOW_ANSWER_MS / 1000} s of ${DELIVERY_SECONDS}`,
      ...{ value: Math.max(...waits), unit: 's', aim: { atMost: 5 } },
    },
    { key: 'hostile_slow_quiet_s', what: 'in a room without them', value: Math.max(...quiet), unit: 's' },
  ]
}

interface Knocks {
  readonly room: BenchRoom
  readonly name: string
  readonly knocks: number
}

/** Knocks, one a second. @returns for each the seconds from its answer until the good server had it */
async function waitsOf(scene: Scene, world: World, host: string, { room, name, knocks }: Knocks) {
  const before = (await arrivals(world, host)).length
  const requests = sendKnockRequests(scene, [room], name, knocks)
  const connection = await LoadConnection.open(scene.directory.port)
  const answered: number[] = []
  for (const request of requests) {
    const { status, body } = await connection.exchange(request)
    if (status !== 200) throw new Error(`a knock was answered ${status}: ${body}`)
    answered.push(Date.now())
    await pause(EACH_MS)
  }
  connection.close()
  const deadline = Date.now() + WITHIN_MS
  let came = await arrivals(world, host)
  while (came.length < before + knocks && Date.now() < deadline) {
    await pause(LOOK_MS)
    came = await arrivals(world, host)
  }
  // They come in the order in which they were accepted.
  return answered.map((at, index) => Math.max(0, (came[before + index] ?? deadline) - at) / 1000)
}

/** When each knock came to the good server, in milliseconds since the epoch. */
async function arrivals(world: World, host: string): Promise<readonly number[]> {
  const { received } = await world.report()
  return received.flatMap((one) => (one.host === host ? Array.from({ length: one.events }, () => one.at) : []))
}
