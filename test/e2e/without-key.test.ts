import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import { KNOCKABLE_VERSIONS, type SignedEvent, signAsItIs } from '../support/events.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FakeResident, startFakeResident } from '../support/fake-resident.ts'
import type { Fault } from '../support/faulty-answer.ts'
import { exchange } from '../support/http-client.ts'
import {
  knockDraft,
  knockEvent,
  makeKnock,
  makeKnockPath,
  sendKnock,
  sendKnockPath,
  signedRequest,
} from '../support/remote-knocker.ts'
import { NATIVE_TEMPLATE_TIME } from '../support/resident-answers.ts'
import { freePorts, type Service, startService } from '../support/service-process.ts'
import { authorization, createIdentity, type Identity, type JsonRecord } from '../support/signing.ts'
import { bans, buildRoom, opening, type Person, person, says, type TestRoom } from '../support/test-room.ts'

const authority = createCertificateAuthority()
const identity = createIdentity('resident.example')
const alice = person('alice', identity)

let remote: FakeHomeserver
let resident: FakeResident
let service: Service
let strangers = 0

beforeAll(async () => {
  remote = await startFakeHomeserver({ authority, versionOf: () => '11', publicKeyOf: () => undefined })
  resident = await startFakeResident({ identity, others: [remote.identity] })
  service = await start(resident.url)
})
afterEach(() => {
  resident.heals()
  resident.forget()
})
afterAll(async () => {
  const code = await service?.stop()
  await resident?.close()
  await remote?.close()
  expect([resident.complaints, remote.complaints]).toEqual([[], []])
  expect(code).toBe(0)
})

function start(url: string, more: JsonRecord = {}): Promise<Service> {
  const homeserver = { handover: 'forward', template: 'upstream', url }
  const timeouts = { handover_seconds: 2, request_seconds: 5 }
  const federation = { deny_servers: ['denied.example'] }
  const config = { homeserver, timeouts, federation, ...(more as Record<string, JsonRecord>) }
  return startService({ identity, ca: authority.cert, rooms: [], withoutKey: true, config })
}

type Version = TestRoom['version']

function open(version: Version = '11', ...more: Parameters<typeof buildRoom>[2]): TestRoom {
  const room = buildRoom(version, alice, [...opening(alice, version), ...more])
  resident.has([room])
  return room
}

function stranger(): Person {
  strangers += 1
  return person(`stranger${strangers}`, remote.identity)
}

const make = (room: TestRoom, who = stranger(), versions?: readonly string[]) => makeKnock(service, who, room, versions)
const send = (room: TestRoom, event: SignedEvent, origin: Identity = remote.identity) =>
  sendKnock(service, origin, room, event)
const asked = (): readonly unknown[] => resident.requests.map(({ call }) => call)

async function decisions(...filter: readonly string[]): Promise<readonly JsonRecord[]> {
  const { stdout } = await service.command('knocks', 'list', '--json', ...filter)
  return JSON.parse(stdout)
}

describe('beside a homeserver that keeps its signing key to itself', () => {
  it("a remote user knocks: the homeserver's template, its decision, its answer, and a record that says so", async () => {
    const room = open('11', says(alice, 'hello'))
    const who = stranger()
    const template = await make(room, who)
    expect(template).toMatchObject({
      status: 200,
      body: { room_version: '11', event: { sender: who.id, origin_server_ts: NATIVE_TEMPLATE_TIME } },
    })
    const knock = knockEvent(room, who, template.body.event as JsonRecord)
    const shown = { knock_room_state: [{ type: 'm.room.create', content: { n: 1 } }], more: 'theirs' }
    resident.fails({ alter: () => shown }, 'send_knock')
    const answer = await send(room, knock)
    expect([answer.status, answer.body]).toEqual([200, shown])
    expect(resident.verdicts.at(-1)).toBe('accepted')
    expect(asked()).toEqual(['make_knock', 'send_knock'])
    const rule = 'handover: the homeserver'
    const reason = 'accepted by the homeserver, to which the rules of the room are left: there is no signing key'
    expect(await decisions('--room', room.roomId)).toEqual([
      expect.objectContaining({
        ...{ endpoint: 'send_knock', outcome: 'accepted', status: 200, errcode: null, rule, reason },
        ...{ room_id: room.roomId, user_id: who.id, event_id: knock.eventId, origin: remote.identity.name },
        facts: { room_version: '11', revision: null, join_rule: null, membership: null, age_ms: null },
      }),
    ])
  })

  it('sends the knock on byte for byte: its target, every Authorization line, its body', async () => {
    const room = open()
    const { eventId, pdu } = knockEvent(room, stranger())
    const path = sendKnockPath(room.roomId, eventId).replace('%24', '$').replace('%3A', '%3a')
    const body = Buffer.from(`{ "unsigned": {"a\\u0067e": 1},\n${JSON.stringify(pdu, undefined, 3).slice(1)}`)
    const content = JSON.parse(body.toString()) as JsonRecord
    const request = { method: 'PUT', uri: path, destination: identity.name, content }
    const line = authorization(remote.identity, request)
    const spaced = line.replace('X-Matrix ', 'X-Matrix  ').replaceAll(',', ' , ')
    const headers = ['authorization', line, 'Authorization', spaced]
    expect(await exchange(service.port, { method: 'PUT', path, headers, body })).toMatchObject({ status: 200 })
    const [sent] = resident.requests
    expect(sent).toMatchObject({ call: 'send_knock', method: 'PUT', uri: path })
    expect(sent?.body.equals(body)).toBe(true)
    const lines = sent?.rawHeaders.filter((_, at) => sent.rawHeaders[at - 1]?.toLowerCase() === 'authorization')
    expect(lines).toEqual([line, spaced])
  })

  /** Keys that some versions protect and others do not: each gives the event another id. */
  const telling: readonly JsonRecord[] = [
    {},
    { origin: 'remote.example' },
    { content: { membership: 'knock', join_authorised_via_users_server: '@alice:resident.example' } },
    { origin: 'x', content: { membership: 'knock', join_authorised_via_users_server: '@alice:resident.example' } },
  ]
  it.each(KNOCKABLE_VERSIONS)(
    'takes knocks on rooms of version %s, named by nobody and named by a template',
    async (version) => {
      for (const changes of telling) {
        const room = open(version)
        expect((await send(room, knockEvent(room, stranger(), changes))).status).toBe(200)
        expect((await make(room)).status).toBe(200)
        expect((await send(room, knockEvent(room, stranger(), changes))).status).toBe(200)
      }
    },
  )

  it('goes by the version that the template named, once there was one', async () => {
    const room = open('11')
    const asOf10 = { ...room, version: '10' as const }
    const changes = { origin: 'x' }
    expect((await make(room)).status).toBe(200)
    resident.forget()
    expect(await send(room, knockEvent(asOf10, stranger(), changes))).toMatchObject({
      status: 400,
      body: { errcode: 'M_INVALID_PARAM', error: 'The event id is not that of the path' },
    })
    expect(asked()).toEqual([])
  })

  it('takes a knock whose content hash is wrong, as every server does, and says so in the record', async () => {
    const room = open()
    const who = stranger()
    const knock = signAsItIs({ ...knockDraft(room, who), hashes: { sha256: 'A'.repeat(43) } }, '11', who.server)
    expect((await send(room, knock)).status).toBe(200)
    expect(await decisions('--user', who.id)).toMatchObject([
      {
        outcome: 'accepted',
        reason: expect.stringMatching(/the content hash is wrong: it counts in its redacted form$/),
      },
    ])
  })

  it('refuses what is not what it says, and asks the homeserver nothing', async () => {
    const room = open()
    const who = stranger()
    const good = knockEvent(room, who)
    const forged = signAsItIs(good.pdu, '11')
    const byAnother = knockEvent(room, {
      ...who,
      server: { ...createIdentity(who.server.name), keyId: who.server.keyId },
    })
    const refusals: readonly (readonly [SignedEvent, string])[] = [
      [{ ...good, eventId: `$${'A'.repeat(43)}` }, 'The event id is not that of the path'],
      [byAnother, 'The event is not signed by the server of its sender'],
      [{ ...forged, pdu: { ...forged.pdu, signatures: {} } }, 'The event is not signed by the server of its sender'],
      [knockEvent(room, who, { type: 'm.room.message' }), 'Not a knock event'],
      [knockEvent(room, who, { content: { membership: 'join' } }), 'Not a knock event'],
      [knockEvent(room, who, { state_key: '@other:x.example' }), 'state_key is not the sender'],
      [knockEvent(room, who, { room_id: '!other:x.example' }), 'room_id is not that of the path'],
      [knockEvent(room, alice), 'The sender does not belong to the requesting server'],
    ]
    for (const [event, error] of refusals) {
      const answer = await send(room, event)
      expect([answer.status, answer.body]).toEqual([400, { errcode: 'M_INVALID_PARAM', error }])
    }
    expect(await send(room, knockEvent(room, who, { depth: '1' }))).toMatchObject({ body: { errcode: 'M_BAD_JSON' } })
    const path = sendKnockPath(room.roomId, good.eventId)
    const body = '{"a":1,"a":2}'
    const claimed = { method: 'PUT', uri: path, destination: identity.name, content: {} }
    const headers = ['authorization', authorization(remote.identity, claimed)]
    expect(await exchange(service.port, { method: 'PUT', path, headers, body })).toMatchObject({ status: 400 })
    expect(asked()).toEqual([])
    const recorded = await decisions('--user', who.id)
    expect(recorded.map(({ outcome, status }) => [outcome, status])).toEqual(
      Array.from({ length: 8 }, () => ['refused', 400]),
    )
  })

  it('refuses who may not ask at all, and asks the homeserver nothing', async () => {
    const room = open()
    const who = stranger()
    const path = sendKnockPath(room.roomId, '$x')
    const elsewhere = { port: service.port, identity: createIdentity('elsewhere.example') }
    const denied = person('kim', createIdentity('denied.example'))
    const ours = await signedRequest(service, identity, 'PUT', path, {})
    expect([ours.status, ours.body.errcode]).toEqual([401, 'M_UNAUTHORIZED'])
    expect((await makeKnock(elsewhere, who, room)).status).toBe(401)
    expect((await makeKnock(service, denied, room)).status).toBe(403)
    const wrongKey = { ...createIdentity(remote.identity.name), keyId: remote.identity.keyId }
    expect((await make(room, { ...who, server: wrongKey })).status).toBe(401)
    expect((await make(room, { id: '@kim:other.example', server: remote.identity })).status).toBe(403)
    expect(await make(room, who, [])).toMatchObject({ status: 400 })
    expect(asked()).toEqual([])
  })

  it('leaves the rules of the room to the homeserver: its refusals of both calls are passed on and recorded', async () => {
    const who = stranger()
    const room = open('11', bans(alice, who))
    const error = 'the fake homeserver says no'
    const answers = [await make(room, who), await send(room, knockEvent(room, who))]
    for (const answer of answers) {
      expect([answer.status, answer.body]).toEqual([403, { errcode: 'M_FORBIDDEN', error }])
    }
    expect(await make({ ...room, roomId: '!nowhere:resident.example' })).toMatchObject({ status: 404 })
    expect(asked()).toEqual(['make_knock', 'send_knock', 'make_knock'])
    expect(await decisions('--user', who.id)).toMatchObject([
      { endpoint: 'send_knock', outcome: 'refused', status: 403, rule: 'handover: the homeserver', reason: error },
      { endpoint: 'make_knock', outcome: 'refused', status: 403, rule: 'template: the homeserver', reason: error },
    ])
  })

  it('the server ACL of the room is for the homeserver to ask, which refuses by it on both calls', async () => {
    const room = open()
    const denied = { errcode: 'M_FORBIDDEN', error: 'Server was denied by room ACL' }
    resident.fails({ status: 403, body: denied }, 'make_knock', 'send_knock')
    expect(await make(room)).toMatchObject({ status: 403, body: denied })
    expect(await send(room, knockEvent(room, stranger()))).toMatchObject({ status: 403, body: denied })
  })

  it('a template for a version that the remote did not ask for, or in which nobody knocks, is none', async () => {
    const room = open()
    const who = stranger()
    const { body } = await make(room, who)
    resident.fails({ status: 200, body }, 'make_knock')
    expect(await make(room, who, ['9', '10'])).toMatchObject({
      status: 400,
      body: { errcode: 'M_INCOMPATIBLE_ROOM_VERSION', room_version: '11' },
    })
    resident.fails({ status: 200, body: { ...body, room_version: '6' } }, 'make_knock')
    expect(await make(room, who, ['6'])).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    resident.fails({ status: 200, body: { ...body, room_version: 'x.y' } }, 'make_knock')
    expect((await make(room, who, ['x.y'])).body.errcode).toBe('M_UNSUPPORTED_ROOM_VERSION')
    resident.fails({ status: 200, text: '<html>' }, 'make_knock')
    expect(await make(room, who)).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
  })

  it.each<[string, Fault]>([
    ['hangs', 'hang'],
    ['breaks off', 'half'],
    ['answers 503', { status: 503 }],
    ['answers 401', { status: 401 }],
    ['answers 200 and no JSON', { status: 200, text: '<html>' }],
    ['answers 200 and no state', { alter: () => ({}) }],
    ['answers 200 and a state that is no list', { alter: () => ({ knock_room_state: {} }) }],
    [
      'answers 200 and more than a remote should read',
      { alter: () => ({ knock_room_state: ['x'.repeat(2_097_153)] }) },
    ],
  ])('says 404 where the homeserver %s, and 200 to the same knock when it is well again', async (_what, fault) => {
    const room = open()
    const who = stranger()
    const knock = knockEvent(room, who)
    resident.fails(fault, 'send_knock')
    expect(await send(room, knock)).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } })
    resident.heals()
    expect((await send(room, knock)).status).toBe(200)
    expect(await decisions('--user', who.id)).toMatchObject([
      { outcome: 'accepted' },
      { outcome: 'refused', status: 404, rule: 'homeserver: taking the knock' },
    ])
  })

  it('goes on after a restart, with the versions of rooms forgotten', async () => {
    const room = open('9')
    const knock = knockEvent(room, stranger(), { origin: 'x' })
    expect((await send(room, knock)).status).toBe(200)
    expect(await service.restart()).toBe(0)
    expect((await send(room, knock)).status).toBe(200)
  })
})

describe('what an operator without the signing key is told', () => {
  const WITHOUT = 'the service runs without it and leaves the rules of rooms to the homeserver'

  it('at start, in one warning', () => {
    const lines = service.log().split('\n')
    const [first, ...more] = lines.filter((line) => line.includes(WITHOUT)).map((line) => JSON.parse(line))
    // One for each start: the service was started anew.
    expect(first).toMatchObject({
      level: 40,
      msg: expect.stringMatching(/^signing_key_path: .*signing\.key cannot be/),
    })
    expect(more).toHaveLength(1)
    expect(lines.some((line) => line.includes('rooms cannot be read without the signing key'))).toBe(true)
    expect(lines.some((line) => line.includes('rooms are read from the homeserver'))).toBe(false)
  })

  it('by check-config, which finds nothing wrong', async () => {
    const { code, stderr } = await service.command('check-config')
    expect([code, stderr]).toEqual([0, expect.stringContaining(WITHOUT)])
  })

  it('by rooms import, for which it takes a key', async () => {
    const { code, stderr } = await service.importRoom(open())
    expect([code, stderr]).toEqual([1, expect.stringContaining('signing_key_path')])
  })

  it('by explain, which does not guess', async () => {
    const { code, stdout, stderr } = await service.command('explain', open().roomId, stranger().id)
    expect([code, stdout, stderr]).toEqual([
      1,
      '',
      expect.stringMatching(/signing_key_path: .* the homeserver alone can say/),
    ])
  })

  it('by the log, where homeserver.url leads back to the service', async () => {
    const [port = 0] = await freePorts(1)
    const looping = await start(`http://127.0.0.1:${port}`, { listen: { host: '127.0.0.1', port } })
    const room = buildRoom('11', alice, opening(alice, '11'))
    expect(await makeKnock({ port, identity }, stranger(), room)).toMatchObject({ status: 504 })
    await expect.poll(() => looping.log()).toContain('homeserver.url leads back to this service')
    const { stdout } = await looping.command('doctor')
    expect(stdout).toMatch(/FAILED {2}homeserver\.url: .* leads back to this service/)
    expect(await looping.stop()).toBe(0)
  })

  it('by nothing that a stranger sends: what marks our own requests cannot be computed', async () => {
    const path = makeKnockPath(open().roomId, stranger().id)
    const known = [resident.url, `127.0.0.1:${service.port}`, identity.publicKey, identity.name, '']
    for (const guess of known) {
      const marker = createHash('sha256').update('matrix-knock marker\0').update(identity.name).update(guess)
      const headers = ['x-matrix-knock', marker.digest('base64url')]
      expect((await exchange(service.port, { method: 'GET', path, headers })).status).toBe(401)
    }
    expect(service.log()).not.toContain('leads back')
  })
})
