/** A room is imported again while people knock on it: knocks and imports are all there afterwards, one after the other. */
import { describe, expect, it } from 'vitest'
import { createRoundRobin } from '../support/round-robin.ts'
import { joins, person } from '../support/test-room.ts'
import { expectDelivered, expectWholeBooks } from './books.ts'
import { type CrowdOptions, gatherCrowd } from './crowd.ts'
import { bugsIn, postgresStore, setScene, sqliteStore } from './scene.ts'

const MEMBERS = 200
const IMPORTS = 5
const CROWD = 6

describe.each([
  { name: 'SQLite', openStore: sqliteStore },
  { name: 'PostgreSQL', openStore: postgresStore },
])('a room that is imported again while knocks arrive, on $name', ({ openStore }) => {
  it('keeps every knock, and every knock is answered 200', async () => {
    const scene = await setScene(({ neighbour }) =>
      Array.from({ length: MEMBERS }, (_, at) => joins(person(`member${at}`, neighbour.identity))),
    )
    const store = await openStore()
    const service = await scene.start({ rooms: [scene.room], config: { store: store.config } })
    const { room, remote, neighbour } = scene
    const balancer = createRoundRobin([service])
    const send: CrowdOptions['send'] = async (event) => (await balancer.knock(remote.identity, room, event)).status
    const crowd = gatherCrowd({ room, server: remote.identity, size: CROWD, send })
    for (let imports = 0; imports < IMPORTS; imports++) {
      await crowd.more(CROWD)
      expect(await service.importRoom(room)).toMatchObject({ code: 0 })
    }
    await crowd.more(2 * CROWD)
    await crowd.leave()
    expect([...crowd.answers.keys()]).toEqual([200])
    const { accepted } = crowd
    const location = store.location(service)
    const recorded = await expectWholeBooks({ location, room, imports: 1 + IMPORTS, accepted })
    expect(recorded).toHaveLength(accepted.size)
    await expectDelivered(neighbour, recorded)
    expect(bugsIn(service)).toEqual([])
  })
})
