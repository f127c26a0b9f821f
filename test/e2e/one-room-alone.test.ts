/** What concerns one room or one knock is never a 5xx: other servers would ask the whole homeserver nothing for minutes. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { SignedEvent } from '../support/events.ts'
import { type FakeResident, startFakeResident } from '../support/fake-resident.ts'
import type { Fault } from '../support/faulty-answer.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import type { Call } from '../support/resident-answers.ts'
import { type Service, startService } from '../support/service-process.ts'
import type { JsonRecord } from '../support/signing.ts'
import { buildRoom, joinRule, joins, opening, type Person, person, says, type TestRoom } from '../support/test-room.ts'
import { type GatheredCast, gatherCast } from './stage.ts'

const TIMEOUTS = { handover_seconds: 2, request_seconds: 8 }
const NOT_FOUND = { status: 404, body: { errcode: 'M_NOT_FOUND' } }
const OUT_OF_ORDER = { status: 504, body: { errcode: 'M_UNKNOWN' } }
const PARTIAL: Fault = {
  status: 403,
  body: { errcode: 'ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE', error: 'room is partial-stated here' },
}

let cast: GatheredCast
let strangers = 0
beforeAll(async () => {
  cast = await gatherCast()
})
afterAll(() => cast?.leave())

interface World {
  readonly resident: FakeResident
  readonly service: Service
}

async function start(handover: JsonRecord, withoutKey = false): Promise<World> {
  const { resident: identity, remote, neighbour, alice, authority } = cast
  const resident = await startFakeResident({ identity, others: [remote.identity, neighbour.identity] })
  const homeserver = { ...handover, url: resident.url, ...(!withoutKey && { local_users: [alice.id] }) }
  const config = { homeserver, timeouts: TIMEOUTS }
  const service = await startService({ identity, ca: authority.cert, rooms: [], withoutKey, config })
  return { resident, service }
}

async function stop({ resident, service }: World): Promise<void> {
  const code = await service.stop()
  await resident.close()
  expect([code, resident.complaints]).toEqual([0, []])
}

function open({ resident }: World): TestRoom {
  const { alice, bob } = cast
  const story = [...opening(alice, '11', 'public'), joins(bob), joinRule(alice, 'knock'), says(alice, 'hello')]
  const room = buildRoom('11', alice, story)
  cast.introduce([room])
  resident.has([room])
  return room
}

function stranger(): Person {
  strangers += 1
  return person(`stranger${strangers}`, cast.remote.identity)
}

const make = ({ service }: World, room: { roomId: string; version: string }, who = stranger()) =>
  makeKnock(service, who, room)
const send = ({ service }: World, room: TestRoom, event: SignedEvent) =>
  sendKnock(service, cast.remote.identity, room, event)

describe('beside a homeserver whose rooms are read', () => {
  let world: World
  beforeAll(async () => {
    world = await start({ handover: 'inject' })
  })
  afterEach(() => {
    world.resident.heals()
    world.resident.limit = undefined
  })
  afterAll(() => stop(world))

  it.each<[string, Fault, Call[]]>([
    ['is being joined', PARTIAL, ['event', 'state']],
    ['answers 500', { status: 500 }, ['make_leave']],
    ['breaks off', 'half', ['state']],
    ['hangs', 'hang', ['state']],
    ['is garbage', { status: 200, text: '<html>' }, ['state']],
  ])('a room that %s is 404 on both calls, and the others are not', async (_what, fault, calls) => {
    const [room, other] = [open(world), open(world)]
    for (const id of [room.roomId, room.tip.eventId]) world.resident.failsFor(id, fault, ...calls)
    expect(await make(world, room)).toMatchObject(NOT_FOUND)
    expect(await send(world, room, knockEvent(room, stranger()))).toMatchObject(NOT_FOUND)
    expect((await make(world, other)).status).toBe(200)
  })

  it('ten who ask for a room that cannot be read cost the homeserver one reading', async () => {
    const room = open(world)
    for (const id of [room.roomId, room.tip.eventId]) world.resident.failsFor(id, PARTIAL, 'event', 'state')
    world.resident.forget()
    const answers = await Promise.all(Array.from({ length: 10 }, () => make(world, room)))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([404]))
    expect(world.resident.count('make_leave', 'event', 'state', 'timestamp_to_event')).toBeLessThanOrEqual(3)
  })

  it('a limit on our requests is waited for, and is 404 where it lasts', async () => {
    world.resident.limit = { perSecond: 2, delayMs: 0, retryAfter: 1 }
    expect((await make(world, open(world))).status).toBe(200)
    world.resident.limit = { perSecond: 0, delayMs: 0, retryAfter: 60 }
    expect(await make(world, open(world))).toMatchObject(NOT_FOUND)
  })

  it.each<[string, Fault, Call]>([
    ['whose transaction is answered 500', { status: 500 }, 'send'],
    ['whose transaction is answered 429', { status: 429 }, 'send'],
    ['that cannot be looked for', 'hang', 'make_leave'],
  ])('a knock %s is 404, and 200 when it comes again', async (_what, fault, call) => {
    const room = open(world)
    expect((await make(world, room)).status).toBe(200)
    const knock = knockEvent(room, stranger())
    world.resident.fails(fault, call)
    expect(await send(world, room, knock)).toMatchObject(NOT_FOUND)
    world.resident.heals()
    expect((await send(world, room, knock)).status).toBe(200)
  })

  it('a knock whose answer was lost is 200 where it shows in the room', async () => {
    const room = open(world)
    expect((await make(world, room)).status).toBe(200)
    world.resident.fails('close', 'send')
    expect((await send(world, room, knockEvent(room, stranger()))).status).toBe(200)
  })

  it.each<[string, Fault]>([
    ['answers 502 to everything', { status: 502 }],
    ['hangs', 'hang'],
  ])('a homeserver that %s is 504 on both calls, and back as soon as it answers', async (_what, fault) => {
    const [known, unread] = [open(world), open(world)]
    expect((await make(world, known)).status).toBe(200)
    world.resident.failsAll(fault)
    // What was found out a moment ago holds for a second.
    await expect.poll(async () => (await make(world, unread)).status, { timeout: 20_000 }).toBe(504)
    const knock = knockEvent(known, stranger())
    expect(await send(world, known, knock)).toMatchObject(OUT_OF_ORDER)
    world.resident.heals()
    await expect.poll(async () => (await make(world, unread)).status, { timeout: 20_000 }).toBe(200)
    expect((await send(world, known, knock)).status).toBe(200)
  })

  it('rooms that one server invents are 404, and other servers are served meanwhile', async () => {
    const known = open(world)
    const kim = person('kim', cast.neighbour.identity)
    expect((await make(world, known)).status).toBe(200)
    world.resident.forget()
    let left = 100
    const flood = Array.from({ length: left }, async (_, at) => {
      const { status } = await make(world, { roomId: `!invented${at}:remote.example`, version: '11' })
      left--
      return status
    })
    expect((await make(world, known, kim)).status).toBe(200)
    for (let rooms = 0; rooms < 3; rooms++) expect((await make(world, open(world), kim)).status).toBe(200)
    expect(left).toBeGreaterThan(0)
    expect(new Set(await Promise.all(flood))).toEqual(new Set([404]))
    // Four a second for some seconds, and those of the neighbour.
    expect(world.resident.count('make_leave')).toBeLessThan(60)
  })
})

describe.each<[string, JsonRecord, boolean]>([
  ['that writes the templates', { handover: 'forward', template: 'upstream' }, false],
  ['that keeps its signing key to itself', { handover: 'forward', template: 'upstream' }, true],
])('beside a homeserver %s', (_what, handover, withoutKey) => {
  let world: World
  beforeAll(async () => {
    world = await start(handover, withoutKey)
  })
  afterEach(() => world.resident.heals())
  afterAll(() => stop(world))

  it.each<[string, Fault]>([
    ['hangs', 'hang'],
    ['breaks off', 'half'],
    ['answers 503', { status: 503 }],
    ['answers 401', { status: 401 }],
    ['answers 429', { status: 429 }],
    ['is not known there', { status: 404, body: { errcode: 'M_UNRECOGNIZED', error: '?' } }],
  ])('a template that %s is 404', async (_fault, fault) => {
    const room = open(world)
    world.resident.fails(fault, 'make_knock')
    expect(await make(world, room)).toMatchObject(NOT_FOUND)
    world.resident.heals()
    expect((await make(world, room)).status).toBe(200)
  })

  it.each<[string, Fault]>([
    ['hangs', 'hang'],
    ['is 503', { status: 503 }],
    ['is 401', { status: 401 }],
    ['is 429', { status: 429 }],
  ])('a knock whose answer %s is 404, and 200 when it comes again', async (_fault, fault) => {
    const room = open(world)
    const knock = knockEvent(room, stranger())
    expect((await make(world, room)).status).toBe(200)
    world.resident.fails(fault, 'send_knock')
    world.resident.fails({ status: 500 }, 'make_leave')
    expect(await send(world, room, knock)).toMatchObject(NOT_FOUND)
    world.resident.heals()
    expect((await send(world, room, knock)).status).toBe(200)
  })

  it.each<[string, Fault]>([
    ['answers 502 to everything', { status: 502 }],
    ['hangs', 'hang'],
  ])('it is 504 on both calls where it %s', async (_fault, fault) => {
    const room = open(world)
    expect((await make(world, room)).status).toBe(200)
    world.resident.failsAll(fault)
    await expect.poll(async () => (await make(world, room)).status, { timeout: 20_000 }).toBe(504)
    expect(await send(world, room, knockEvent(room, stranger()))).toMatchObject(OUT_OF_ORDER)
  })
})
