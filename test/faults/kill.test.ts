/** The service is killed under load, again and again: what was answered 200 stands, once, and arrives. */
import { randomInt } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createRoundRobin } from '../support/round-robin.ts'
import type { Service } from '../support/service-process.ts'
import { expectDelivered, expectWholeBooks } from './books.ts'
import { type CrowdOptions, gatherCrowd } from './crowd.ts'
import { postgresStore, setScene, sqliteStore } from './scene.ts'

const KILLS = 20
const CROWD = 6

describe.each([
  { name: 'SQLite', openStore: sqliteStore, replicas: 1 },
  { name: 'PostgreSQL', openStore: postgresStore, replicas: 2 },
])('kill -9 under load, 20 times, on $name with $replicas process(es)', ({ openStore, replicas }) => {
  it('loses no knock that was answered 200, records none twice, delivers all', { timeout: 240_000 }, async () => {
    const scene = await setScene()
    const store = await openStore()
    const services: Service[] = []
    for (let at = 0; at < replicas; at++) services.push(await scene.start({ config: { store: store.config } }))
    const [first] = services as [Service]
    expect(await first.importRoom(scene.room)).toMatchObject({ code: 0 })
    const { room, remote, neighbour } = scene
    const balancer = createRoundRobin(services)
    const send: CrowdOptions['send'] = async (event) => (await balancer.knock(remote.identity, room, event)).status
    const crowd = gatherCrowd({ room, server: remote.identity, size: CROWD, send })
    for (let kills = 0; kills < KILLS; kills++) {
      await crowd.more(CROWD)
      await pause(randomInt(100))
      const victim = services[kills % replicas] as Service
      await victim.kill()
      await victim.start()
    }
    await crowd.more(CROWD)
    await crowd.leave()
    const { accepted } = crowd
    const recorded = await expectWholeBooks({ location: store.location(first), room, imports: 1, accepted })
    await expectDelivered(neighbour, recorded)
    for (const service of services) expect(await service.end()).toBe(0)
  })
})
