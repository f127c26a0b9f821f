/** What the size of a room costs: to import it beside a running service, and for each make_knock in it. */
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import type { Figure, Part } from '../figures.ts'
import type { Watched } from '../load.ts'
import { createSigner, ROOM_VERSION, type Signer } from '../native-signing.ts'
import { inPairs, processorRatio, throughputRatio } from '../pairs.ts'
import { counted } from '../processor-time.ts'
import { type BenchRoom, planRoom } from '../rooms.ts'
import { makeKnockRequests, type Scene, setScene } from '../scene.ts'
import { type RunningService, runCommand, startService } from '../service.ts'

const SMALL = 10
const LARGE = 100_000
const SERVERS_OF_LARGE = 400
const CONNECTIONS = 16
const REQUESTS = 3_000
/** While the room is imported the service is asked for a template every few milliseconds. */
const WATCH = { requests: 12_000, pauseMs: 5 }
const MOST_QUIET_MS = 20_000
const MEGABYTE = 1_000_000

export const roomSizePart: Part = { name: 'room_size', measure }

async function measure(): Promise<readonly Figure[]> {
  const scene = await setScene((here) => [planRoom({ name: 'small', here, others: [here], members: SMALL, tips: 1 })])
  const large = planLargeRoom(scene.here)
  const file = join(scene.directory.path, 'large.json')
  await writeRoomFile(large, file)
  const service = await startService(scene.directory)
  await scene.load.run({
    port: scene.directory.port,
    connections: CONNECTIONS,
    requests: makeKnockRequests(scene, scene.rooms, 'warm-up', REQUESTS),
  })

  const { result: imported, seen } = await watchDuring(scene, 'import', () => importRoom(scene, file))
  const { seen: quiet } = await watchDuring(scene, 'quiet', () => pause(Math.min(imported.milliseconds, MOST_QUIET_MS)))
  const pairs = await compareRooms(scene, service, large)
  await service.stop()
  scene.close()
  return [
    {
      key: 'room_size_ratio',
      what: `make_knock: time for one in a room of ${LARGE} members by that in a room of ${SMALL}`,
      value: throughputRatio(pairs),
      unit: '',
      aim: { atMost: 1.1 },
    },
    { key: 'room_size_cpu_ratio', what: 'the same in processor time', value: processorRatio(pairs), unit: '' },
    {
      key: 'import_peak_mb',
      what: `rooms import of ${LARGE} members: largest resident memory`,
      value: imported.peakBytes / MEGABYTE,
      unit: 'MB',
      aim: { below: 300 },
    },
    { key: 'import_seconds', what: 'rooms import: duration', value: imported.milliseconds / 1000, unit: 's' },
    {
      key: 'import_stall_ms',
      what: 'longest time that make_knock took meanwhile, as its caller sees it',
      value: seen.longest,
      unit: 'ms',
      aim: { below: 50 },
    },
    { key: 'import_p99_ms', what: '99 % of them took less', value: seen.p99, unit: 'ms' },
    {
      key: 'quiet_stall_ms',
      what: 'the longest without an import, for up to 20 s: what else this machine does',
      value: quiet.longest,
      unit: 'ms',
    },
  ]
}

function planLargeRoom(here: Signer): BenchRoom {
  const others = Array.from({ length: SERVERS_OF_LARGE }, (_, index) => createSigner(`member${index}.bench.test`))
  return planRoom({ name: 'large', here, others, members: LARGE, tips: 1 })
}

async function writeRoomFile(room: BenchRoom, path: string): Promise<void> {
  await pipeline(Readable.from(roomFile(room)), createWriteStream(path))
}

function* roomFile({ roomId, core, members, tips }: BenchRoom): Iterable<string> {
  yield `{"room_id":${JSON.stringify(roomId)},"room_version":"${ROOM_VERSION}","auth_chain":[],`
  yield `"extremities":${JSON.stringify(tips.map(({ pdu }) => pdu))},"pdus":[`
  yield core.map(({ pdu }) => JSON.stringify(pdu)).join(',')
  for (const { pdu } of members()) yield `,${JSON.stringify(pdu)}`
  yield ']}'
}

/** Asks the service for templates while some work is done. */
function watchDuring<Result>(scene: Scene, name: string, work: () => Promise<Result>): Promise<Watched<Result>> {
  const requests = makeKnockRequests(scene, scene.rooms, name, WATCH.requests)
  return scene.load.watchDuring({ port: scene.directory.port, requests, pauseMs: WATCH.pauseMs }, work)
}

interface FinishedImport {
  readonly peakBytes: number
  readonly milliseconds: number
}

async function importRoom({ directory }: Scene, file: string): Promise<FinishedImport> {
  const start = performance.now()
  const { output, peakBytes } = await runCommand(directory, 'rooms', 'import', file)
  if (!output.includes(`${LARGE} joined members`)) throw new Error(`the room was not imported: ${output}`)
  return { peakBytes, milliseconds: performance.now() - start }
}

/** Runs in the large room beside runs in the small one: fewer in the same time is as many times the cost. */
function compareRooms(scene: Scene, service: RunningService, large: BenchRoom) {
  const { port } = scene.directory
  const run = (requests: readonly string[]) =>
    counted(service.cpuSeconds, () => scene.load.run({ port, connections: CONNECTIONS, requests }))
  return inPairs(
    (pair) => ({
      inLarge: makeKnockRequests(scene, [large], `large${pair}`, REQUESTS),
      inSmall: makeKnockRequests(scene, scene.rooms, `small${pair}`, REQUESTS),
    }),
    ({ inLarge }) => run(inLarge),
    ({ inSmall }) => run(inSmall),
  )
}
