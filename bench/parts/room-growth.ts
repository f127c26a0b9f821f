/** What the knocks that a room has taken cost those that come after. */
import type { Figure, Part } from '../figures.ts'
import { inPairs, PAIRS, type Pairs, processorRatio, throughputRatio } from '../pairs.ts'
import { type CountedRun, counted } from '../processor-time.ts'
import { type BenchRoom, planRoom } from '../rooms.ts'
import { makeKnockRequests, type Scene, sendKnockRequests, setScene } from '../scene.ts'
import { type RunningService, startService } from '../service.ts'
import { untilQueued } from '../settled.ts'
import { stageKnocks } from '../staging.ts'
import { withStore } from '../store-place.ts'
import { storedKnocks, storing } from '../stored-rows.ts'

const KNOCKS = 10_000
const MEMBERS = 10
/** As many as a template names, in the fresh rooms too: what is compared is the room, not the size of its template. */
const TIPS = 10
/** One for each run, so that it is still fresh. */
const FRESH_ROOMS = PAIRS + 1
const MAKE_KNOCK = { connections: 16, requests: 2_500 }
const SEND_KNOCK = { connections: 32, requests: 1_000 }

export const roomGrowthPart: Part = { name: 'room_growth', measure }

async function measure(): Promise<readonly Figure[]> {
  const scene = await setScene((here) =>
    ['grown', ...Array.from({ length: FRESH_ROOMS }, (_, index) => `fresh${index}`)].map((name) => {
      return planRoom({ name, here, others: [here], members: MEMBERS, tips: TIPS })
    }),
  )
  const [grown, ...fresh] = scene.rooms as [BenchRoom, ...BenchRoom[]]
  const prevEvents = await grow(scene, grown)
  const service = await startService(scene.directory)
  await untilQueued(service)
  const templates = await compareTemplates(scene, service, grown, fresh)
  const knocks = await compareKnocks(scene, service, grown, fresh, prevEvents)
  await service.stop()
  scene.close()
  const what = `time for one in a room that has taken ${KNOCKS} knocks by that in a fresh one`
  return [
    {
      key: 'room_growth_ratio',
      what: `${what}: the worse of the two calls`,
      value: Math.max(throughputRatio(templates), throughputRatio(knocks)),
      unit: '',
      aim: { atMost: 1.15 },
    },
    ...ratios('make_knock', templates),
    ...ratios('send_knock', knocks),
  ]
}

function ratios(call: string, pairs: Pairs<CountedRun>): readonly Figure[] {
  const key = `room_growth_${call}`
  return [
    { key: `${key}_ratio`, what: `${call} alone`, value: throughputRatio(pairs), unit: '' },
    { key: `${key}_cpu_ratio`, what: `${call} in processor time`, value: processorRatio(pairs), unit: '' },
  ]
}

/** @returns the extremities that a template names now */
async function grow(scene: Scene, room: BenchRoom): Promise<readonly string[]> {
  const knockers = Array.from({ length: KNOCKS }, (_, index) => scene.knocker('earlier', index))
  let extremities: readonly string[] = []
  await withStore(scene.directory.store, async (store) => {
    extremities = await stageKnocks(store, scene.here, room, knockers)
  })
  if (extremities.length !== TIPS) throw new Error(`a template would name ${extremities.length} events, not ${TIPS}`)
  return extremities
}

function compareTemplates(scene: Scene, service: RunningService, grown: BenchRoom, fresh: readonly BenchRoom[]) {
  const { connections, requests: count } = MAKE_KNOCK
  const { port } = scene.directory
  const run = (requests: readonly string[]) =>
    counted(service.cpuSeconds, () => scene.load.run({ port, connections, requests }))
  return inPairs(
    (pair) => ({
      inGrown: makeKnockRequests(scene, [grown], `template${pair}`, count),
      inFresh: makeKnockRequests(scene, fresh.slice(pair, pair + 1), `template${pair}`, count),
    }),
    ({ inGrown }) => run(inGrown),
    ({ inFresh }) => run(inFresh),
  )
}

function compareKnocks(
  scene: Scene,
  service: RunningService,
  grown: BenchRoom,
  fresh: readonly BenchRoom[],
  prevEvents: readonly string[],
) {
  const { connections, requests: count } = SEND_KNOCK
  const stored = () => storedKnocks(scene.directory.store)
  const { port } = scene.directory
  const run = async (requests: readonly string[]) => {
    const sent = () => storing(stored, () => scene.load.run({ port, connections, requests }))
    const result = await counted(service.cpuSeconds, sent)
    await untilQueued(service)
    return result
  }
  return inPairs(
    (pair) => ({
      inGrown: sendKnockRequests(scene, [grown], `knock${pair}`, count, prevEvents),
      inFresh: sendKnockRequests(scene, fresh.slice(pair, pair + 1), `knock${pair}`, count),
    }),
    ({ inGrown }) => run(inGrown),
    ({ inFresh }) => run(inFresh),
  )
}
