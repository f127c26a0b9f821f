/** What the rooms that nobody asks for cost those that are asked for: make_knock in ten rooms, of ten and of 100,000. */
import { addCrowd, countCrowd } from '../crowded-store.ts'
import type { Figure, Part } from '../figures.ts'
import { inPairs, type Pairs, processorRatio, throughputRatio } from '../pairs.ts'
import { startBenchPostgres } from '../postgres.ts'
import { type CountedRun, counted } from '../processor-time.ts'
import { planRoom } from '../rooms.ts'
import { makeKnockRequests, type Scene, setScene } from '../scene.ts'
import { type RunningService, startService } from '../service.ts'
import type { PostgresPlace } from '../store-place.ts'

const ASKED = 10
const ROOMS = 100_000
const MEMBERS = 10
const POOL_SIZE = 10
const CONNECTIONS = 16
const REQUESTS = 2_000
const AIM = 1.2

export const manyRoomsPart: Part = { name: 'many_rooms', measure }

async function measure(): Promise<readonly Figure[]> {
  const inFiles = await compare(undefined, undefined)
  const postgres = await startBenchPostgres()
  const few = await postgres.createDatabase('few', POOL_SIZE)
  const many = await postgres.createDatabase('many', POOL_SIZE)
  const inDatabases = await compare(few, many)
  await postgres.close()
  return [...figures('sqlite', inFiles), ...figures('postgres', inDatabases)]
}

function figures(store: string, pairs: Pairs<CountedRun>): readonly Figure[] {
  const key = `make_knock_many_rooms_${store}`
  return [
    {
      key: `make_knock_many_rooms_ratio_${store}`,
      what: `make_knock: time for one with ${ROOMS} rooms and ${ROOMS * MEMBERS} members in the store by that with ${ASKED} rooms, ${store}`,
      value: throughputRatio(pairs),
      unit: '',
      aim: { atMost: AIM },
    },
    {
      key: `${key}_cpu_ratio`,
      what: 'the same in processor time of the service',
      value: processorRatio(pairs),
      unit: '',
    },
  ]
}

/** Runs on a store with many rooms beside runs on one with few; the same ten rooms are asked for in both. */
async function compare(few?: PostgresPlace, many?: PostgresPlace): Promise<Pairs<CountedRun>> {
  const [small, large] = [await openScene(few), await openScene(many)]
  const { store } = large.directory
  await addCrowd(store, { rooms: ROOMS - ASKED, members: MEMBERS })
  const { rooms, members } = await countCrowd(store)
  if (rooms !== ROOMS || members !== ROOMS * MEMBERS)
    throw new Error(`the store has ${rooms} rooms, ${members} members`)
  const [atSmall, atLarge] = [await startService(small.directory), await startService(large.directory)]
  const pairs = await inPairs(
    (pair) => ({
      amongMany: makeKnockRequests(large, large.rooms, `pair${pair}`, REQUESTS),
      amongFew: makeKnockRequests(small, small.rooms, `pair${pair}`, REQUESTS),
    }),
    ({ amongMany }) => run(large, atLarge, amongMany),
    ({ amongFew }) => run(small, atSmall, amongFew),
  )
  for (const service of [atSmall, atLarge]) await service.stop()
  for (const scene of [small, large]) scene.close()
  return pairs
}

function openScene(store?: PostgresPlace): Promise<Scene> {
  return setScene(
    (here) =>
      Array.from({ length: ASKED }, (_, index) => {
        return planRoom({ name: `room${index}`, here, others: [here], members: MEMBERS, tips: 1 })
      }),
    store === undefined ? {} : { store },
  )
}

function run({ directory, load }: Scene, service: RunningService, requests: readonly string[]): Promise<CountedRun> {
  const order = { port: directory.port, connections: CONNECTIONS, requests }
  return counted(service.cpuSeconds, () => load.run(order))
}
