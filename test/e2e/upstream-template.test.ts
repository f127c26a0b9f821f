import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FakeResident, startFakeResident } from '../support/fake-resident.ts'
import type { Fault } from '../support/faulty-answer.ts'
import { exchange } from '../support/http-client.ts'
import { knockEvent, makeKnock, makeKnockPath, sendKnock } from '../support/remote-knocker.ts'
import { NATIVE_TEMPLATE_TIME } from '../support/resident-answers.ts'
import { type Service, startService } from '../support/service-process.ts'
import { authorization, createIdentity, type JsonRecord } from '../support/signing.ts'
import {
  bans,
  buildRoom,
  joinRule,
  opening,
  type Person,
  person,
  says,
  sets,
  type TestRoom,
} from '../support/test-room.ts'

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
  const homeserver = { handover: 'forward', template: 'upstream', url: resident.url, local_users: [alice.id] }
  const timeouts = { handover_seconds: 2, request_seconds: 5 }
  service = await startService({ identity, ca: authority.cert, rooms: [], config: { homeserver, timeouts } })
})
afterEach(() => {
  resident.heals()
  resident.forget()
})
afterAll(async () => {
  const code = await service?.stop()
  await resident?.close()
  await remote?.close()
  expect(resident.complaints).toEqual([])
  expect(code).toBe(0)
})

function open(...more: Parameters<typeof buildRoom>[2]): TestRoom {
  const room = buildRoom('11', alice, [...opening(alice, '11'), ...more])
  resident.has([room])
  return room
}

function stranger(localpart = `stranger${++strangers}`): Person {
  return person(localpart, remote.identity)
}

const make = (room: TestRoom, who = stranger(), versions?: readonly string[]) => makeKnock(service, who, room, versions)
const eventOf = ({ body }: { readonly body: JsonRecord }): JsonRecord => body.event as JsonRecord

describe("the homeserver's own template", () => {
  it('is given as the homeserver writes it, and what is made of it is let in', async () => {
    const room = open(says(alice, 'hello'))
    const who = stranger()
    const answer = await make(room, who)
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        room_version: '11',
        event: {
          type: 'm.room.member',
          room_id: room.roomId,
          sender: who.id,
          state_key: who.id,
          content: { membership: 'knock' },
          prev_events: [room.tip.eventId],
          auth_events: room.authEventsFor(who.id),
          depth: Number(room.tip.pdu.depth) + 1,
          origin_server_ts: NATIVE_TEMPLATE_TIME,
        },
      },
    ])
    expect(resident.count('make_knock')).toBe(1)
    const knock = knockEvent(room, who, eventOf(answer))
    expect(await sendKnock(service, remote.identity, room, knock)).toMatchObject({ status: 200 })
    expect(resident.verdicts.at(-1)).toBe('accepted')
  })

  it('is asked for with the request as it came: its target and every Authorization line, byte for byte', async () => {
    const room = open()
    const who = stranger('a/b=%2B~é')
    const usual = makeKnockPath(room.roomId, who.id, 'org.matrix.msc3757.10', '11')
    const path = `${usual.replace('%21', '!').replace('%3A', '%3a').replace('%40', '@')}&x=%2f+%7E&ver&=%C3%A9//..`
    const line = authorization(remote.identity, { method: 'GET', uri: path, destination: identity.name })
    const spaced = line.replace('X-Matrix ', 'X-Matrix  ').replaceAll(',', ' , ')
    const headers = ['Authorization', line, 'x-other', 'not sent on', 'authorization', spaced]
    expect(await exchange(service.port, { method: 'GET', path, headers })).toMatchObject({
      status: 200,
      body: { event: { sender: who.id } },
    })
    const [sent, ...more] = resident.requests.filter(({ call }) => call === 'make_knock')
    expect(more).toEqual([])
    expect(sent).toMatchObject({ method: 'GET', uri: path })
    const values = (name: string) =>
      sent?.rawHeaders.filter((_, at) => sent.rawHeaders[at - 1]?.toLowerCase() === name) ?? []
    expect(values('authorization')).toEqual([line, spaced])
    expect(values('x-other')).toEqual([])
    expect(sent?.body).toHaveLength(0)
  })

  it('E3 is given without what some homeservers sign and note in theirs', async () => {
    const room = open()
    const noted = { signatures: { [identity.name]: { a: 'b' } }, hashes: { sha256: 'x' }, unsigned: { age: 1 } }
    const alter = (body: JsonRecord): JsonRecord => {
      return { ...body, event: { ...(body.event as JsonRecord), ...noted, event_id: '$x', origin: identity.name } }
    }
    resident.fails({ alter }, 'make_knock')
    const { status, body } = await make(room)
    expect(status).toBe(200)
    expect(eventOf({ body })).toMatchObject({ origin: identity.name, origin_server_ts: NATIVE_TEMPLATE_TIME })
    const present = Object.keys(eventOf({ body }))
    expect(present.filter((key) => ['event_id', 'hashes', 'signatures', 'unsigned'].includes(key))).toEqual([])
  })

  it('is good to knock with although something was said since the room was read', async () => {
    const room = open()
    expect((await make(room)).status).toBe(200)
    const later = resident.happens(room.roomId, says(alice, 'something'), says(alice, 'more'))
    const who = stranger()
    const answer = await make(room, who)
    expect(eventOf(answer)).toMatchObject({ prev_events: [later.tip.eventId] })
    const knock = knockEvent(later, who, eventOf(answer))
    expect(await sendKnock(service, remote.identity, room, knock)).toMatchObject({ status: 200 })
  })

  it('is asked for only by who may knock: what is refused here costs the homeserver no make_knock', async () => {
    const kim = stranger()
    const room = open(bans(alice, kim))
    const closed = open(joinRule(alice, 'invite'))
    const shut = open(sets(alice, 'm.room.server_acl', { allow: ['*'], deny: ['127.0.0.1'], allow_ip_literals: true }))
    const foreign = person('kim', createIdentity('third.example'))
    const cases: readonly (readonly [number, string, Promise<{ status: number; body: JsonRecord }>])[] = [
      [403, 'M_FORBIDDEN', make(room, kim)],
      [403, 'M_FORBIDDEN', make(closed)],
      [403, 'M_FORBIDDEN', make(shut)],
      [403, 'M_FORBIDDEN', make(room, { ...foreign, server: remote.identity })],
      [400, 'M_INCOMPATIBLE_ROOM_VERSION', make(room, stranger(), ['9', '10'])],
      [404, 'M_NOT_FOUND', make({ ...room, roomId: '!nowhere:resident.example' })],
      [401, 'M_UNAUTHORIZED', make(room, { ...kim, server: { ...remote.identity, keyId: 'ed25519:other' } })],
    ]
    for (const [status, errcode, answer] of cases) expect(await answer).toMatchObject({ status, body: { errcode } })
    expect(resident.count('make_knock')).toBe(0)
  })

  it('is not ours where the homeserver refuses: its refusal is passed on and recorded, without what it does not concern', async () => {
    const room = open()
    const who = stranger()
    const refusal = { errcode: 'M_FORBIDDEN', error: 'not today', secret: 'x' }
    resident.fails({ status: 403, body: refusal }, 'make_knock')
    const answer = await make(room, who)
    expect([answer.status, answer.body]).toEqual([403, { errcode: 'M_FORBIDDEN', error: 'not today' }])
    const incompatible = { errcode: 'M_INCOMPATIBLE_ROOM_VERSION', error: 'no', room_version: '11' }
    resident.fails({ status: 400, body: incompatible }, 'make_knock')
    expect(await make(room)).toMatchObject({ status: 400, body: incompatible })
    const { stdout } = await service.command('knocks', 'list', '--user', who.id, '--json')
    expect(JSON.parse(stdout)).toMatchObject([
      { outcome: 'refused', status: 403, rule: 'template: the homeserver', reason: 'not today' },
    ])
  })

  it.each<[string, Fault]>([
    ['hangs', 'hang'],
    ['begins an answer and no more', 'stall'],
    ['breaks off', 'half'],
    ['does not end', 'endless'],
    ['answers 503', { status: 503 }],
    ['answers 401', { status: 401, body: { errcode: 'M_UNAUTHORIZED', error: 'who?' } }],
    ['answers 429', { status: 429, body: { errcode: 'M_LIMIT_EXCEEDED', error: 'slow' } }],
    ['has no knocking', { status: 404, body: { errcode: 'M_UNRECOGNIZED', error: '?' } }],
  ])('is waited for while there is time: one that %s is 404', async (_what, fault) => {
    const room = open()
    resident.fails(fault, 'make_knock')
    expect(await make(room)).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } })
    resident.heals()
    expect((await make(room)).status).toBe(200)
  })

  const template = (changes: JsonRecord): Fault => {
    return { alter: (body) => ({ ...body, event: { ...(body.event as JsonRecord), ...changes } }) }
  }
  it.each<[string, Fault]>([
    ['no JSON', { status: 200, text: '<html>' }],
    ['a list', { status: 200, text: '[]' }],
    ['JSON with a key twice', { status: 200, text: '{"room_version":"11","room_version":"11"}' }],
    ['an empty object', { alter: () => ({}) }],
    ['no room version', { alter: ({ event }) => ({ event }) as JsonRecord }],
    ['another room version', { alter: (body) => ({ ...body, room_version: '10' }) }],
    ['no event', { alter: () => ({ room_version: '11' }) }],
    ['an event that is none', { alter: () => ({ room_version: '11', event: 'x' }) }],
    ['another type', template({ type: 'm.room.message' })],
    ['another room', template({ room_id: '!other:resident.example' })],
    ['another sender', template({ sender: '@alice:resident.example' })],
    ['another state key', template({ state_key: '@alice:resident.example' })],
    ['another membership', template({ content: { membership: 'join' } })],
    ['no content', template({ content: [] })],
    ['no prev_events', template({ prev_events: [] })],
    ['too many auth_events', template({ auth_events: Array.from({ length: 11 }, () => '$x') })],
    ['more than an event can hold', template({ more: 'x'.repeat(65_536) })],
  ])('with %s is none: 403', async (_what, fault) => {
    const room = open()
    resident.fails(fault, 'make_knock')
    const error = 'The homeserver gives no template for this knock'
    const answer = await make(room)
    expect([answer.status, answer.body]).toEqual([403, { errcode: 'M_FORBIDDEN', error }])
  })

  it('that is none says why in the log', async () => {
    const room = open()
    resident.fails(template({ sender: '@alice:resident.example' }), 'make_knock')
    expect((await make(room)).status).toBe(403)
    const lines = () =>
      service
        .log()
        .split('\n')
        .filter((line) => line.includes(room.roomId))
    await expect
      .poll(lines)
      .toContainEqual(expect.stringContaining('make_knock answers 200, but its event is for another user'))
  })

  it('that builds on what the room does not have is 404, after a few looks', async () => {
    const room = open()
    resident.fails(template({ prev_events: ['$nobody'] }), 'make_knock')
    expect(await make(room)).toMatchObject({ status: 404 })
    expect(resident.count('make_knock')).toBe(3)
  })
})
