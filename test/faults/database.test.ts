/** PostgreSQL goes away, for a moment or for long, and connections to it are cut, while two replicas are knocked at. */
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from 'pg'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { until } from '../e2e/stage.ts'
import { exchange } from '../support/http-client.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import { createRoundRobin } from '../support/round-robin.ts'
import type { Service } from '../support/service-process.ts'
import { person } from '../support/test-room.ts'
import { expectDelivered, expectWholeBooks } from './books.ts'
import { type Crowd, type CrowdOptions, gatherCrowd } from './crowd.ts'
import { bugsIn, onServer, type Scene, setScene, type TestedStore } from './scene.ts'

const CROWD = 6
const REQUEST_SECONDS = 10
/** For an answer to reach us on a machine that is busy. */
const SLACK_MS = 3_000

let server: PostgresServer
let store: TestedStore
let scene: Scene
let services: readonly [Service, Service]

beforeEach(async () => {
  scene = await setScene()
  server = await startPostgres({ fsync: 'on', synchronous_commit: 'on' })
  onTestFinished(() => server.remove())
  store = onServer(server.url)
  const config = { store: store.config, timeouts: { request_seconds: REQUEST_SECONDS } }
  services = [await scene.start({ config }), await scene.start({ config })]
  expect(await services[0].importRoom(scene.room)).toMatchObject({ code: 0 })
})

function gather(): Crowd {
  const { room, remote } = scene
  const balancer = createRoundRobin(services)
  const send: CrowdOptions['send'] = async (event) => (await balancer.knock(remote.identity, room, event)).status
  return gatherCrowd({ room, server: remote.identity, size: CROWD, send })
}

async function expectAllWell(crowd: Crowd): Promise<void> {
  const { room, neighbour } = scene
  const location = store.location(services[0])
  const recorded = await expectWholeBooks({ location, room, imports: 1, accepted: crowd.accepted })
  await expectDelivered(neighbour, recorded)
  for (const service of services) expect(await service.end()).toBe(0)
}

const ready = ({ adminPort }: Service) => exchange(adminPort, { method: 'GET', path: '/ready' })

describe('PostgreSQL under load', () => {
  it('is stopped and started, in good order and as in a crash: all knocks are recorded once, and delivered', async () => {
    const crowd = gather()
    for (const how of ['fast', 'immediate', 'fast', 'immediate'] as const) {
      await crowd.more(2 * CROWD)
      await server.stop(how)
      await pause(300)
      await server.start()
    }
    await crowd.more(2 * CROWD)
    await crowd.leave()
    // Who waited for the database within its patience was answered 200; nothing else but an error was ever answered.
    expect([...crowd.answers.keys()].filter((answer) => answer !== 200 && answer !== 500)).toEqual([])
    await expectAllWell(crowd)
  })

  it('stays away for long: /ready says so, callers get an error in time, and all is well when it is back', async () => {
    const { room, remote } = scene
    const who = person('patient', remote.identity)
    const event = knockEvent(room, who)
    expect((await makeKnock(services[0], who, room)).status).toBe(200)
    await server.stop('immediate')
    for (const service of services) {
      await until('503', async () => (await ready(service)).status === 503)
      expect((await ready(service)).body).toEqual({
        status: 'not ready',
        reasons: [expect.stringMatching(/^the store cannot be read: the database refuses connections/)],
      })
    }
    const asked = Date.now()
    const answers = await Promise.all([
      ...services.map((service) => sendKnock(service, remote.identity, room, event)),
      ...services.map((service) => makeKnock(service, who, room)),
    ])
    expect(Date.now() - asked).toBeLessThan(REQUEST_SECONDS * 1000 + SLACK_MS)
    expect(answers.map(({ status, body }) => `${status} ${body.errcode}`)).toEqual(Array(4).fill('500 M_UNKNOWN'))
    await server.start()
    for (const service of services) await until('200', async () => (await ready(service)).status === 200)
    const crowd = gather()
    await crowd.more(CROWD)
    await crowd.leave()
    expect((await sendKnock(services[1], remote.identity, room, event)).status).toBe(200)
    await expectAllWell({ ...crowd, accepted: new Map([...crowd.accepted, [event.eventId, who.id]]) })
  })

  it('cuts connections in the middle of what they do: all knocks are recorded once, and delivered', async () => {
    const knife = new Client({ connectionString: server.url, application_name: 'knife' })
    await knife.connect()
    onTestFinished(() => knife.end())
    const crowd = gather()
    let cuts = 0
    for (let left = 100; left > 0; left--) {
      const { rows } = await knife.query(`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'matrix-knock' AND state <> 'idle'`)
      cuts += rows.length
      await pause(30)
    }
    await crowd.more(CROWD)
    await crowd.leave()
    expect(cuts).toBeGreaterThan(10)
    expect(services.flatMap(bugsIn)).toEqual([])
    await expectAllWell(crowd)
  })
})
