import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { UserId } from '../../src/matrix/identifiers.ts'
import { ALICE, HERE, REMOTE, THERE, usualRoom } from '../knock/stage.ts'
import { clientEvent } from '../support/resident-rooms.ts'
import { buildRoom, opening, person, says, type TestRoom } from '../support/test-room.ts'
import { type Beside, beside } from './beside.ts'

let world: Beside
let room: TestRoom
beforeEach(async () => {
  world = await beside({ localUsers: [ALICE.id as UserId] })
  room = usualRoom('11', [says(ALICE, 'hello')])
  world.resident.has([room])
})
afterEach(() => world.close())

const fresh = { kind: 'fresh', ageMs: expect.any(Number) }
const LONG_MS = 60_000
/** Long enough for a hundred rooms to be asked for, a few a second. */
const FLOOD_MS = 30_000
let invented = 0

const inventedRoom = (): string => `!invented${++invented}:remote.test`
const ask = (origin: string, roomId: string, withinMs = LONG_MS) =>
  world.refreshAs(origin, roomId, { deadline: world.now() + withinMs })
const flood = (origin: string, rooms: number, withinMs = LONG_MS) =>
  Array.from({ length: rooms }, () => ask(origin, inventedRoom(), withinMs))

/** Asked for, and not answered yet. */
function unanswered(asking: readonly Promise<unknown>[]): () => number {
  let left = asking.length
  for (const one of asking) one.then(() => left--)
  return () => left
}

function unreadRoom(localpart: string): TestRoom {
  const unread = buildRoom('11', ALICE, opening(ALICE, '11'), { localpart })
  world.resident.has([unread])
  return unread
}

describe('a room that somebody invents', () => {
  it('costs Synapse one request, and Dendrite two', async () => {
    expect(await ask(REMOTE.name, inventedRoom())).toEqual({ kind: 'absent' })
    expect(world.resident.requests.map(({ call }) => call)).toEqual(['make_leave'])
    world.resident.character = 'dendrite'
    world.resident.forget()
    expect(await ask(REMOTE.name, inventedRoom())).toEqual({ kind: 'absent' })
    expect(world.resident.requests.map(({ call }) => call)).toEqual(['make_leave', 'backfill'])
  })

  it('is asked for no more than four times a second for one server, and never ends in anything but no such room', async () => {
    const started = Date.now()
    const answers = await Promise.all(flood(REMOTE.name, 100, 4_000))
    const seconds = (Date.now() - started) / 1_000
    expect(world.resident.count('make_leave')).toBeLessThanOrEqual(4 * seconds + 2)
    expect(world.resident.count('make_leave')).toBeGreaterThanOrEqual(2)
    expect(answers.every(({ kind }) => kind === 'absent' || kind === 'unavailable')).toBe(true)
  })

  it('is asked for no more than twelve times a second for all servers together', async () => {
    const started = Date.now()
    const origins = Array.from({ length: 20 }, (_, at) => `remote${at}.test`)
    await Promise.all(origins.flatMap((origin) => flood(origin, 10, 4_000)))
    const seconds = (Date.now() - started) / 1_000
    expect(world.resident.count('make_leave')).toBeLessThanOrEqual(12 * seconds + 6)
  })

  it('is answered to those who wait too many at once without a request', async () => {
    const asking = flood(REMOTE.name, 400, 2_000)
    const answers = await Promise.all(asking)
    expect(answers).toContainEqual({ kind: 'unavailable', reason: 'too many rooms are asked for' })
    expect(answers.some(({ kind }) => kind === 'out of order')).toBe(false)
  })
})

describe('while one server invents rooms', () => {
  it('rooms that are known cost nothing and wait for nothing', async () => {
    expect(await ask(THERE.name, room.roomId)).toEqual(fresh)
    const waiting = unanswered(flood(REMOTE.name, 100, FLOOD_MS))
    expect(await ask(THERE.name, room.roomId)).toEqual(fresh)
    expect(await ask(REMOTE.name, room.roomId)).toEqual(fresh)
    expect(waiting()).toBeGreaterThan(0)
  })

  it('rooms that have to be read are read for other servers at once', async () => {
    const waiting = unanswered(flood(REMOTE.name, 100, FLOOD_MS))
    for (const localpart of ['one', 'two', 'three']) {
      expect(await ask(THERE.name, unreadRoom(localpart).roomId)).toEqual(fresh)
    }
    expect(waiting()).toBeGreaterThan(0)
  })

  it('rooms of which the homeserver has told are read even for that server', async () => {
    const told = unreadRoom('told')
    const waiting = unanswered(flood(REMOTE.name, 100, FLOOD_MS))
    world.homeserver.feed.take([{ ...clientEvent(told, told.tip), type: 'm.room.message', state_key: 'x' }])
    expect(await ask(REMOTE.name, told.roomId)).toEqual(fresh)
    expect(waiting()).toBeGreaterThan(0)
  })

  it('rooms that were read before the last start are read even for that server', async () => {
    const { store } = world
    expect(await ask(REMOTE.name, room.roomId)).toEqual(fresh)
    const again = await beside({ localUsers: [ALICE.id as UserId], store })
    again.resident.has([room])
    const times = () => ({ deadline: again.now() + FLOOD_MS })
    const waiting = unanswered(Array.from({ length: 100 }, () => again.refreshAs(REMOTE.name, inventedRoom(), times())))
    expect(await again.refreshAs(REMOTE.name, room.roomId, times())).toEqual(fresh)
    expect(waiting()).toBeGreaterThan(0)
    await again.close()
  })

  it('a room for which it waits is read for another server when that asks', async () => {
    const wanted = unreadRoom('wanted')
    flood(REMOTE.name, 20, FLOOD_MS)
    const behind = ask(REMOTE.name, wanted.roomId, 60_000)
    expect(await ask(THERE.name, wanted.roomId)).toEqual(fresh)
    expect(await behind).toEqual(fresh)
    expect(world.resident.count('state')).toBe(1)
  })
})

describe('rooms that are there and slow', () => {
  it('keep no more than half of the readings for one server', async () => {
    const slow = ['one', 'two', 'three'].map(unreadRoom)
    for (const { roomId } of slow) world.resident.failsFor(roomId, 'hang', 'state')
    for (const { roomId } of slow) ask(REMOTE.name, roomId, 5_000)
    await expect.poll(() => world.resident.count('state')).toBe(2)
    expect(await ask(THERE.name, room.roomId)).toEqual(fresh)
    expect(world.resident.count('state')).toBe(3)
  })

  it('are found with no more requests than the first look and the reading take', async () => {
    await world.close()
    world = await beside({ localUsers: [person('gone', HERE), ALICE].map(({ id }) => id as UserId) })
    world.resident.has([room])
    expect(await ask(REMOTE.name, room.roomId)).toEqual(fresh)
    expect(world.resident.requests.map(({ call }) => call)).toEqual(['make_leave', 'make_leave', 'event', 'state'])
  })
})
