import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import type { SignedEvent } from '../support/events.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FakeResident, startFakeResident } from '../support/fake-resident.ts'
import { exchange } from '../support/http-client.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import type { Character } from '../support/resident-answers.ts'
import { clientEvent } from '../support/resident-rooms.ts'
import { freePorts, type Service, startService } from '../support/service-process.ts'
import { createIdentity, type JsonRecord } from '../support/signing.ts'
import {
  bans,
  buildRoom,
  joinRule,
  joins,
  opening,
  type Person,
  person,
  says,
  type TestRoom,
} from '../support/test-room.ts'
import { until } from './stage.ts'

const AS_TOKEN = 'as-token-only-on-loopback'
const HS_TOKEN = 'hs-token-only-on-loopback'
const authority = createCertificateAuthority()
const identity = createIdentity('resident.example')
const alice = person('alice', identity)

let directory: string
let remote: FakeHomeserver
let neighbour: FakeHomeserver

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'matrix-knock-beside-'))
  const shared = {
    authority,
    versionOf: () => '11' as const,
    publicKeyOf: (server: string, keyId: string) =>
      server === identity.name && keyId === identity.keyId ? identity.publicKey : undefined,
  }
  remote = await startFakeHomeserver(shared)
  neighbour = await startFakeHomeserver({ ...shared, host: 'localhost' })
})
afterAll(async () => {
  await Promise.all([remote?.close(), neighbour?.close()])
  await rm(directory, { recursive: true, force: true })
})

interface World {
  readonly resident: FakeResident
  readonly service: Service
}

async function start(character: Character, handover: string, changes: JsonRecord = {}): Promise<World> {
  const resident = await startFakeResident({ identity, character, others: [remote.identity] })
  const [port = 0] = await freePorts(1)
  const registrationPath = join(directory, `registration-${port}.yaml`)
  const registration = {
    ...{ id: 'matrix-knock', url: `http://127.0.0.1:${port}`, as_token: AS_TOKEN, hs_token: HS_TOKEN },
    ...{ sender_localpart: 'matrix-knock', namespaces: { rooms: [{ exclusive: false, regex: '!.*' }] } },
  }
  await writeFile(registrationPath, JSON.stringify(registration), { mode: 0o600 })
  const appservice = { listen: { host: '127.0.0.1', port }, registration_path: registrationPath }
  const homeserver = { handover, url: resident.url, local_users: [alice.id], appservice, ...changes }
  const timeouts = { handover_seconds: 5, request_seconds: 8 }
  const service = await startService({ identity, ca: authority.cert, rooms: [], config: { homeserver, timeouts } })
  resident.appservice = { port, hsToken: HS_TOKEN }
  return { resident, service }
}

describe.each<[string, Character]>([
  ['inject', 'dendrite'],
  ['inject', 'synapse'],
  ['forward', 'synapse'],
])('%s beside a homeserver like %s', (handover, character) => {
  let world: World
  let strangers = 0

  beforeAll(async () => {
    world = await start(character, handover)
  })
  afterAll(async () => {
    const code = await world?.service.stop()
    await world?.resident.close()
    expect(world.resident.complaints).toEqual([])
    expect([remote.complaints, neighbour.complaints]).toEqual([[], []])
    expect(code).toBe(0)
  })

  /** A room of Alice and of a neighbour, at which people may knock. */
  function open(...more: Parameters<typeof buildRoom>[2]): TestRoom {
    const bob = person('bob', neighbour.identity)
    const story = [...opening(alice, '11', 'public'), joins(bob), joinRule(alice, 'knock'), ...more]
    const room = buildRoom('11', alice, story)
    world.resident.has([room])
    return room
  }

  function stranger(): Person {
    strangers += 1
    return person(`stranger${strangers}`, remote.identity)
  }

  const make = (room: TestRoom, who = stranger()) => makeKnock(world.service, who, room)
  const send = (room: TestRoom, event: SignedEvent) => sendKnock(world.service, remote.identity, room, event)
  const tell = (room: TestRoom, event: SignedEvent, changes: JsonRecord = {}) =>
    world.resident.tells([{ ...clientEvent(room, event), origin_server_ts: Date.now(), ...changes }])
  const isIn = ({ roomId }: TestRoom, { eventId }: SignedEvent): boolean =>
    world.resident.rooms.get(roomId)?.resolved.timeline.some((event) => event.eventId === eventId) === true
  const reached = (server: FakeHomeserver, { eventId }: SignedEvent): boolean =>
    server.received.some(({ eventIds }) => eventIds.includes(eventId))

  it('a remote user knocks: template, event, room, and the other servers in it', async () => {
    const room = open(says(alice, 'hello'))
    const who = stranger()
    const template = await make(room, who)
    expect(template).toMatchObject({ status: 200, body: { room_version: '11' } })
    const { prev_events, auth_events, depth } = template.body.event as JsonRecord
    const knock = knockEvent(room, who, { prev_events, auth_events, depth } as JsonRecord)
    const answer = await send(room, knock)
    expect(answer).toMatchObject({ status: 200, body: { knock_room_state: expect.any(Array) } })
    expect(isIn(room, knock)).toBe(true)
    expect(world.resident.count('send')).toBe(handover === 'inject' ? 1 : 0)
    expect(world.resident.count('send_knock')).toBe(handover === 'forward' ? 1 : 0)
    if (handover === 'inject') await until('delivery', () => reached(neighbour, knock))
    expect(reached(remote, knock)).toBe(false)
    // Said again: the same, and nothing more.
    expect((await send(room, knock)).text).toBe(answer.text)
    expect(world.resident.count('send', 'send_knock')).toBe(1)
  })

  it('costs the homeserver nothing while its feed lives', async () => {
    const room = open()
    expect((await tell(room, room.tip, { event_id: '$alive', room_id: '!other:resident.example' })).status).toBe(200)
    expect((await make(room)).status).toBe(200)
    world.resident.forget()
    for (let times = 0; times < 5; times++) expect((await make(room)).status).toBe(200)
    expect(world.resident.requests.filter(({ call }) => call !== 'ping')).toEqual([])
  })

  it('H2 refuses as soon as the feed tells of a ban or of another join rule', async () => {
    const room = open()
    const [kim, lee] = [stranger(), stranger()]
    expect((await make(room, kim)).status).toBe(200)
    const banned = world.resident.happens(room.roomId, bans(alice, kim))
    await tell(room, banned.tip)
    expect(await make(room, kim)).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    expect((await make(room, lee)).status).toBe(200)
    const closed = world.resident.happens(room.roomId, joinRule(alice, 'invite'))
    await tell(room, closed.tip)
    expect((await make(room, lee)).status).toBe(403)
  })

  it('never says 200 to a knock that the homeserver leaves out of the room', async () => {
    const room = open()
    const who = stranger()
    await tell(room, room.tip, { event_id: '$alive2', room_id: '!other:resident.example' })
    expect((await make(room, who)).status).toBe(200)
    // The feed has not told of this yet.
    world.resident.happens(room.roomId, bans(alice, who))
    const knock = knockEvent(room, who)
    expect(await send(room, knock)).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    expect(isIn(room, knock)).toBe(false)
    expect(reached(neighbour, knock)).toBe(false)
  })

  it('twenty users knock at once', async () => {
    const room = open(says(alice, 'come'))
    const knocks = Array.from({ length: 20 }, () => knockEvent(room, stranger()))
    const answers = await Promise.all(knocks.map((knock) => send(room, knock)))
    expect(answers.map(({ status }) => status)).toEqual(knocks.map(() => 200))
    expect(knocks.every((knock) => isIn(room, knock))).toBe(true)
    if (handover === 'inject') await until('delivery', () => knocks.every((knock) => reached(neighbour, knock)))
  })

  it('H5 knows no room that the homeserver does not know, or that its users have left', async () => {
    const room = open()
    const nowhere = { ...room, roomId: '!nowhere:resident.example' }
    expect(await make(nowhere)).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } })
    expect((await make(room)).status).toBe(200)
    world.resident.leaves(room.roomId)
    const left = { eventId: '$left', pdu: { ...room.tip.pdu, type: 'm.room.member', state_key: alice.id } }
    await tell(room, left, { content: { membership: 'leave' } })
    expect(await make(room)).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } })
  })

  it('says 404 for a room that cannot be read, why in one line of the log, and recovers', async () => {
    const room = open(says(alice, 'so'))
    world.resident.fails({ status: 503 }, 'make_leave')
    expect(await make(room)).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } })
    await logged(world.service, room.roomId, 'room cannot be read')
    const lines = world.service
      .log()
      .split('\n')
      .filter((line) => line.includes('room cannot be read'))
    expect(lines.filter((line) => line.includes(room.roomId))).toEqual([
      expect.stringContaining('make_leave answers 503'),
    ])
    world.resident.heals()
    await until('room', async () => (await make(room)).status === 200)
  })

  it('accepts a knock whose answer was lost where it shows in the room', async () => {
    const room = open(says(alice, 'lost'))
    const knock = knockEvent(room, stranger())
    world.resident.fails('close', 'send', 'send_knock')
    expect((await send(room, knock)).status).toBe(200)
    world.resident.heals()
    if (handover === 'inject') await until('delivery', () => reached(neighbour, knock))
  })

  it('settles a knock of unknown outcome when the remote tries again', async () => {
    const room = open(says(alice, 'unknown'))
    const knock = knockEvent(room, stranger())
    world.resident.fails({ status: 503 }, 'send', 'send_knock')
    expect((await send(room, knock)).status).toBe(404)
    world.resident.heals()
    expect((await send(room, knock)).status).toBe(200)
    if (handover === 'inject') await until('delivery', () => reached(neighbour, knock))
  })

  it('goes on after a restart: the same knock is answered the same, and not handed over again', async () => {
    const room = open(says(alice, 'again'))
    const knock = knockEvent(room, stranger())
    const before = await send(room, knock)
    expect(before.status).toBe(200)
    expect(await world.service.restart()).toBe(0)
    world.resident.forget()
    const after = await send(room, knock)
    expect([after.status, after.text]).toEqual([200, before.text])
    expect(world.resident.count('send', 'send_knock')).toBe(0)
    expect((await make(room)).status).toBe(200)
  })

  it('H1 refuses a wrong token, and takes nothing', async () => {
    const room = open()
    expect((await make(room)).status).toBe(200)
    const closed = world.resident.happens(room.roomId, joinRule(alice, 'invite'))
    const { port } = world.resident.appservice as { port: number }
    const headers = ['authorization', 'Bearer another']
    const body = JSON.stringify({ events: [clientEvent(room, closed.tip)] })
    const path = '/_matrix/app/v1/transactions/1'
    expect(await exchange(port, { method: 'PUT', path, headers, body })).toMatchObject({
      status: 403,
      body: { errcode: 'M_FORBIDDEN' },
    })
    expect((await make(room)).status).toBe(200)
    await logged(world.service, 'wrong hs_token')
    for (const token of [HS_TOKEN, AS_TOKEN]) expect(world.service.log()).not.toContain(token)
  })

  it('H1 passes over a transaction of ten megabytes, and takes the next', async () => {
    const room = open()
    expect((await make(room)).status).toBe(200)
    const closed = world.resident.happens(room.roomId, joinRule(alice, 'invite'))
    expect((await tell(room, closed.tip, { unsigned: { x: 'x'.repeat(10_000_000) } })).status).toBe(200)
    await logged(world.service, 'a transaction of the homeserver is longer than')
    expect((await make(room)).status).toBe(200)
    expect((await tell(room, closed.tip)).status).toBe(200)
    expect((await make(room)).status).toBe(403)
  })

  it('records how old its facts were', async () => {
    const { stdout } = await world.service.command('knocks', 'list', '--json', '--limit', '10000')
    const knocks = JSON.parse(stdout) as readonly { outcome: string; facts: { age_ms: number | null } }[]
    const accepted = knocks.filter(({ outcome }) => outcome === 'accepted')
    expect(accepted.length).toBeGreaterThan(20)
    for (const { facts } of accepted) expect(facts.age_ms).toEqual(expect.any(Number))
  })
})

/** The log is written behind the answer. */
function logged(service: Service, ...texts: readonly string[]): Promise<void> {
  const lines = () => service.log().split('\n')
  return until(texts.join(' '), () => lines().some((line) => texts.every((text) => line.includes(text))))
}

describe('a homeserver.url that leads back to the service', () => {
  it('is answered 500, and named in the log', async () => {
    const [port = 0] = await freePorts(1)
    const url = `http://127.0.0.1:${port}`
    const homeserver = { handover: 'inject', url, local_users: [alice.id] }
    const config = { homeserver, listen: { host: '127.0.0.1', port } }
    const service = await startService({ identity, ca: authority.cert, rooms: [], config })
    const room = buildRoom('11', alice, opening(alice, '11'))
    const answer = await makeKnock({ port, identity }, person('kim', remote.identity), room)
    expect(answer).toMatchObject({ status: 504, body: { errcode: 'M_UNKNOWN' } })
    await logged(service, 'homeserver.url leads back to this service')
    expect(await service.stop()).toBe(0)
  })
})
