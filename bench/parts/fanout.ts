/** What a knock in a room of thousands of servers costs those who ask for something else while it goes to all of them. */
import { setTimeout as pause } from 'node:timers/promises'
import { type Crowd, startCrowd } from '../crowd.ts'
import type { Figure, Part } from '../figures.ts'
import type { Watched } from '../load.ts'
import { LoadConnection } from '../load-connection.ts'
import { createSigner, type Signer } from '../native-signing.ts'
import { type BenchRoom, planRoom } from '../rooms.ts'
import { makeKnockRequests, type Scene, sendKnockRequests, setScene } from '../scene.ts'
import { startService } from '../service.ts'

const SERVERS = 5_000
const SMALL = 10
const CONNECTIONS = 16
const WARM_UP_REQUESTS = 3_000
/** While the knock goes out the service is asked for a template every few milliseconds. */
const WATCH = { requests: 30_000, pauseMs: 5 }
const WITHIN_MS = 180_000
const LOOK_MS = 200
const MOST_QUIET_MS = 20_000

export const fanoutPart: Part = { name: 'fanout', measure }

async function measure(): Promise<readonly Figure[]> {
  const crowd = await startCrowd(SERVERS)
  const scene = await setScene((here) => planRooms(here, crowd), crowd.sections)
  const [small, large] = scene.rooms as [BenchRoom, BenchRoom]
  const service = await startService(scene.directory)
  const { port } = scene.directory
  const warmUp = makeKnockRequests(scene, [small], 'warm-up', WARM_UP_REQUESTS)
  await scene.load.run({ port, connections: CONNECTIONS, requests: warmUp })

  // Of the time since it was asked for last.
  const longestLoop = () => service.metric('nodejs_eventloop_lag_max_seconds')
  await longestLoop()
  const { seen, result } = await watchDuring(scene, small, 'fan-out', async () => ({
    seconds: await fanOut(scene, large, crowd),
    loop: await longestLoop(),
  }))
  const { seconds, loop } = result
  const quietMs = Math.min(seconds * 1000, MOST_QUIET_MS)
  const { seen: quiet } = await watchDuring(scene, small, 'quiet', () => pause(quietMs))
  await service.stop()
  scene.close()
  crowd.close()
  return [
    {
      key: 'fanout_5000_max_stall_ms',
      what: `longest time that make_knock took while a knock went to ${SERVERS} servers, as its caller sees it`,
      value: seen.longest,
      unit: 'ms',
      aim: { below: 50 },
    },
    { key: 'fanout_5000_p99_ms', what: '99 % of them took less', value: seen.p99, unit: 'ms' },
    {
      key: 'fanout_5000_quiet_stall_ms',
      what: 'the longest afterwards, for up to 20 s: what else this machine does',
      value: quiet.longest,
      unit: 'ms',
    },
    {
      key: 'fanout_5000_loop_ms',
      what: "longest turn of the service's event loop meanwhile, by its own metric, which is 10 ms at least",
      value: loop * 1000,
      unit: 'ms',
    },
    { key: 'fanout_5000_seconds', what: 'until all of them had the knock', value: seconds, unit: 's' },
  ]
}

function planRooms(here: Signer, { names }: Crowd): readonly BenchRoom[] {
  // One key signs for all of them: nobody looks at these signatures.
  const signer = createSigner('crowd.bench.test')
  const others = names.map((name) => ({ ...signer, identity: { ...signer.identity, name } }))
  return [
    planRoom({ name: 'small', here, others: [here], members: SMALL, tips: 1 }),
    planRoom({ name: 'large', here, others, members: SERVERS + 1, tips: 1 }),
  ]
}

function watchDuring<Result>(
  scene: Scene,
  room: BenchRoom,
  name: string,
  work: () => Promise<Result>,
): Promise<Watched<Result>> {
  const requests = makeKnockRequests(scene, [room], name, WATCH.requests)
  return scene.load.watchDuring({ port: scene.directory.port, requests, pauseMs: WATCH.pauseMs }, work)
}

/** One knock. @returns seconds until each server has received it @throws Error where one has not in time, or has twice */
async function fanOut(scene: Scene, room: BenchRoom, crowd: Crowd): Promise<number> {
  const [request = ''] = sendKnockRequests(scene, [room], 'fan-out', 1)
  const start = performance.now()
  const connection = await LoadConnection.open(scene.directory.port)
  const { status, body } = await connection.exchange(request)
  connection.close()
  if (status !== 200) throw new Error(`the knock was answered ${status}: ${body}`)
  let received: readonly string[] = []
  while (received.length < SERVERS) {
    if (performance.now() - start > WITHIN_MS) throw new Error(`only ${received.length} servers have the knock`)
    await pause(LOOK_MS)
    received = (await crowd.report()).hosts
  }
  if (new Set(received).size !== SERVERS) throw new Error('a server was sent the knock twice')
  return (performance.now() - start) / 1000
}
