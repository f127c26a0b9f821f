/** Two processes on one PostgreSQL database, as behind one reverse proxy. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EventId, RoomId, ServerName } from '../../src/matrix/identifiers.ts'
import type { Pdu } from '../../src/matrix/pdu.ts'
import { openPostgresStore } from '../../src/store/postgres/postgres-store.ts'
import { idOf, type SignedEvent } from '../support/events.ts'
import { exchange } from '../support/http-client.ts'
import { POSTGRES_PASSWORD, type PostgresServer, startPostgres } from '../support/postgres-server.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import { type Service, startService } from '../support/service-process.ts'
import type { JsonRecord } from '../support/signing.ts'
import { buildRoom, joinRule, joins, opening, type TestRoom } from '../support/test-room.ts'
import { type Stage, setStage, until } from './stage.ts'

let database: PostgresServer
let stage: Stage
let second: Service
let room: TestRoom

/** As a command beside the services would. */
async function importRoom({ roomId, version, importFile }: TestRoom): Promise<void> {
  const store = await openPostgresStore({ url: database.url, clock: Date.now })
  const ownServer = stage.resident.name as ServerName
  const staging = await store.beginImport({ roomId: roomId as RoomId, version, ownServer, discardKnocks: false })
  const file = importFile() as Record<'pdus' | 'auth_chain' | 'extremities', readonly JsonRecord[]>
  const events = (pdus: readonly JsonRecord[]) =>
    pdus.map((pdu) => ({ eventId: idOf(pdu, version) as EventId, pdu: pdu as unknown as Pdu, verified: true }))
  await staging.addState(events(file.pdus))
  await staging.addAuthChain(events(file.auth_chain))
  await staging.addExtremities(events(file.extremities))
  expect((await staging.swap()).kind).toBe('imported')
  await store.close()
}

const services = (): readonly Service[] => [stage.service, second]
const ready = async ({ adminPort }: Service) => exchange(adminPort, { method: 'GET', path: '/ready' })
const receivedBy = (): readonly string[] => stage.neighbour.received.flatMap(({ eventIds }) => eventIds)

beforeAll(async () => {
  database = await startPostgres()
  const store = { kind: 'postgres', url: database.url, pool_size: 4 }
  stage = await setStage(() => [], { store })
  const options = { identity: stage.resident, ca: stage.authority.cert, rooms: [], config: { store } }
  second = await startService(options)
  const { alice, bob } = stage
  room = buildRoom('10', alice, [...opening(alice, '10', 'public'), joins(bob), joinRule(alice, 'knock')])
  await importRoom(room)
})
afterAll(async () => {
  await second?.stop()
  await stage?.close().finally(() => database.remove())
})

describe('two processes on one database', () => {
  it('know at once what came by the other', async () => {
    const event = knockEvent(room, stage.knocker('first'))
    for (const service of services()) {
      expect((await makeKnock(service, stage.knocker('first'), room)).status).toBe(200)
    }
    expect((await sendKnock(stage.service, stage.remote.identity, room, event)).status).toBe(200)
    expect((await sendKnock(second, stage.remote.identity, room, event)).status).toBe(200)
    const { body } = await makeKnock(second, stage.knocker('other'), room)
    expect((body.event as JsonRecord).prev_events).toContain(event.eventId)
    await until('delivery', () => receivedBy().includes(event.eventId))
  })

  it('F10 record what is sent to both at once only once, and deliver it once', async () => {
    const events: SignedEvent[] = []
    for (let at = 0; at < 25; at++) {
      const event = knockEvent(room, stage.knocker(`both-${at}`))
      const answers = await Promise.all(
        services().map((service) => sendKnock(service, stage.remote.identity, room, event)),
      )
      expect(answers.map(({ status }) => status)).toEqual([200, 200])
      events.push(event)
    }
    await until('delivery of all', () => events.every(({ eventId }) => receivedBy().includes(eventId)))
    expect(new Set(receivedBy()).size).toBe(receivedBy().length)
    expect(stage.neighbour.complaints).toEqual([])
  })

  it('deliver what the other accepted when that one has ended', async () => {
    stage.neighbour.transactions = 'error'
    const event = knockEvent(room, stage.knocker('orphan'))
    expect((await sendKnock(second, stage.remote.identity, room, event)).status).toBe(200)
    expect(await second.stop()).toBe(0)
    stage.neighbour.transactions = 'good'
    await until('delivery', () => receivedBy().includes(event.eventId), 20_000)
    second = await startService({
      identity: stage.resident,
      ca: stage.authority.cert,
      rooms: [],
      config: { store: { kind: 'postgres', url: database.url } },
    })
  })

  it('are unready while the database is away, say so without its address, answer again when it is back', async () => {
    await database.stop('immediate')
    for (const service of services()) {
      await until('503', async () => (await ready(service)).status === 503)
      expect(JSON.stringify((await ready(service)).body)).toMatch(/store cannot be read: .*ECONNREFUSED/)
    }
    const event = knockEvent(room, stage.knocker('patient'))
    const waiting = services().map((service) => sendKnock(service, stage.remote.identity, room, event))
    await new Promise((resolve) => setTimeout(resolve, 300))
    await database.start()
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200])
    for (const service of services()) await until('200', async () => (await ready(service)).status === 200)
    for (const service of services()) {
      for (const secret of [POSTGRES_PASSWORD, encodeURIComponent(POSTGRES_PASSWORD), `127.0.0.1:${database.port}`]) {
        expect(service.log()).not.toContain(secret)
      }
    }
  })
})
