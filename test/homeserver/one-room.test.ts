import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { UserId } from '../../src/matrix/identifiers.ts'
import { ALICE, BOB, CAROL, usualRoom } from '../knock/stage.ts'
import type { Fault } from '../support/faulty-answer.ts'
import { knockEvent } from '../support/remote-knocker.ts'
import { clientEvent } from '../support/resident-rooms.ts'
import { buildRoom, joinRule, joins, opening, says, type TestRoom } from '../support/test-room.ts'
import { type Beside, beside } from './beside.ts'

let world: Beside
let room: TestRoom
let other: TestRoom
beforeEach(async () => {
  world = await beside({ localUsers: [ALICE.id as UserId] })
  room = usualRoom('11', [says(ALICE, 'hello')])
  other = buildRoom('11', ALICE, opening(ALICE, '11'), { localpart: 'other' })
  world.resident.has([room])
  world.resident.has([other])
})
afterEach(() => world.close())

const fresh = { kind: 'fresh', ageMs: expect.any(Number) }
const PARTIAL: Fault = {
  status: 403,
  body: { errcode: 'ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE', error: 'room is partial-stated here' },
}
const LIMITED: Fault = { status: 429, body: { errcode: 'M_LIMIT_EXCEEDED', error: 'slow', retry_after_ms: 60_000 } }

describe('what fails for one room', () => {
  it.each<[string, Fault, ('make_leave' | 'event' | 'state')[]]>([
    ['500 to make_leave', { status: 500 }, ['make_leave']],
    ['502 to state', { status: 502 }, ['state']],
    ['garbage', { status: 200, text: '<html>' }, ['event']],
    ['a broken connection', 'close', ['state']],
    ['half of an answer', 'half', ['state']],
    ['partial state, to all', PARTIAL, ['make_leave', 'event', 'state']],
    ['partial state, to what follows', PARTIAL, ['event', 'state']],
    ['a limit that lasts', LIMITED, ['event']],
  ])('concerns that room alone: %s', async (_what, fault, calls) => {
    world.resident.failsFor(room.roomId, fault, ...calls)
    // Events are asked for by their own ids.
    world.resident.failsFor(room.tip.eventId, fault, ...calls)
    expect(await world.refresh(room)).toMatchObject({ kind: 'unavailable' })
    expect(await world.refresh(other)).toEqual(fresh)
  })

  it('concerns that room alone where it is not answered by the deadline', async () => {
    world.resident.failsFor(room.roomId, 'hang', 'state')
    expect(await world.refresh(room, 1_000)).toEqual({ kind: 'unavailable', reason: 'the room is still being read' })
    expect(await world.refresh(other)).toEqual(fresh)
  })

  it('concerns that room alone where nobody of ours is known in it', async () => {
    await world.close()
    world = await beside()
    world.resident.has([room])
    world.resident.failsFor(room.tip.eventId, PARTIAL, 'event')
    world.resident.failsFor(room.roomId, PARTIAL, 'state')
    expect(await world.refresh(room)).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('PARTIAL') })
    world.resident.heals()
    world.pass(2_001)
    expect(await world.refresh(room)).toEqual(fresh)
  })
})

describe('a homeserver that answers nothing', () => {
  it.each<[string, Fault]>([
    ['answers 502 to everything', { status: 502 }],
    ['closes every connection', 'close'],
  ])('is out of order where it %s, and back as soon as it answers', async (_what, fault) => {
    world.resident.failsAll(fault)
    expect(await world.refresh(room)).toMatchObject({ kind: 'out of order' })
    expect(await world.refresh(room)).toMatchObject({ kind: 'out of order' })
    world.resident.heals()
    expect(await world.refresh(room)).toEqual(fresh)
  })

  it('is out of order where it hangs, by the deadline', async () => {
    world.resident.failsAll('hang')
    const started = Date.now()
    expect(await world.refresh(room, 6_000)).toMatchObject({ kind: 'out of order' })
    expect(Date.now() - started).toBeGreaterThan(5_000)
  })

  it('is not taken for one that does while all that concerns rooms hangs', async () => {
    await world.refresh(room)
    world.resident.fails('hang', 'make_leave', 'send')
    const knocks = Array.from({ length: 20 }, (_, at) => knockEvent(room, CAROL, { origin_server_ts: at }))
    const handing = knocks.map((knock) => world.handOver(room, knock, 12_000))
    const rooms = Array.from({ length: 20 }, (_, at) => ({ roomId: `!room${at}:here.test` }))
    const asking = rooms.map((one) => world.refresh(one, 12_000))
    const outcomes = [...(await Promise.all(handing)), ...(await Promise.all(asking))]
    expect(outcomes.some(({ kind }) => kind === 'out of order')).toBe(false)
  })

  it('is asked whether it answers once for all who want to know', async () => {
    world.resident.failsAll({ status: 503 })
    const rooms = Array.from({ length: 10 }, (_, at) => ({ roomId: `!room${at}:here.test` }))
    const started = Date.now()
    const answers = await Promise.all(rooms.map((one) => world.refresh(one)))
    expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(['out of order']))
    expect(world.resident.count('version')).toBeLessThanOrEqual((Date.now() - started) / 1_000 + 1)
  })

  it('takes no knock: that is of unknown outcome where it answers to anything else', async () => {
    await world.refresh(room)
    world.resident.fails({ status: 500 }, 'send')
    expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({ kind: 'unknown', reason: 'send answers 500' })
    world.resident.failsAll({ status: 500 })
    world.pass(1_001)
    expect(await world.handOver(room, knockEvent(room, BOB))).toMatchObject({ kind: 'out of order' })
  })
})

describe('a homeserver that has enough of our requests', () => {
  it('is asked again when it says so', async () => {
    world.resident.limit = { perSecond: 1, delayMs: 0, retryAfter: 1 }
    expect(await world.refresh(room, 20_000)).toEqual(fresh)
    expect(world.resident.count('make_leave', 'event', 'state')).toBeGreaterThan(3)
  })

  it('is not waited for beyond the deadline', async () => {
    world.resident.fails(LIMITED, 'make_leave')
    expect(await world.refresh(room)).toEqual({
      kind: 'unavailable',
      reason: 'make_leave answers 429 M_LIMIT_EXCEEDED',
    })
    expect(world.resident.count('make_leave')).toBe(1)
  })
})

describe('that a room cannot be read', () => {
  it('is remembered for some seconds, for all who ask, and then for longer', async () => {
    world.resident.failsFor(room.roomId, PARTIAL, 'state')
    for (let time = 0; time < 10; time++) expect(await world.refresh(room)).toMatchObject({ kind: 'unavailable' })
    expect(world.resident.requests.filter(({ call }) => call !== 'version')).toHaveLength(3)
    const tries = (): number => world.resident.count('make_leave')
    for (const [seconds, tried] of [
      [1, 1],
      [1.1, 2],
      [2, 2],
      [2.1, 3],
      [8.1, 4],
    ] as const) {
      world.pass(1_000 * seconds)
      await world.refresh(room)
      expect([seconds, tries()]).toEqual([seconds, tried])
    }
    world.resident.heals()
    world.pass(16_001)
    expect(await world.refresh(room)).toEqual(fresh)
  })

  it('is forgotten where the homeserver tells that the room has changed', async () => {
    world.resident.failsFor(room.roomId, PARTIAL, 'state')
    expect(await world.refresh(room)).toMatchObject({ kind: 'unavailable' })
    world.resident.heals()
    const next = world.resident.happens(room.roomId, joinRule(ALICE, 'knock'), joins(BOB))
    world.homeserver.feed.take([clientEvent(next, next.tip)])
    expect(await world.refresh(room)).toEqual(fresh)
  })
})
