import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { UserId } from '../../src/matrix/identifiers.ts'
import { ALICE, BOB, CAROL, HERE, REMOTE, usualRoom } from '../knock/stage.ts'
import type { SignedEvent } from '../support/events.ts'
import { knockEvent } from '../support/remote-knocker.ts'
import { clientEvent } from '../support/resident-rooms.ts'
import type { JsonRecord } from '../support/signing.ts'
import {
  bans,
  buildRoom,
  joinRule,
  joins,
  leaves,
  opening,
  person,
  says,
  sets,
  type TestRoom,
} from '../support/test-room.ts'
import { type Beside, beside } from './beside.ts'

const LEE = person('lee', HERE)
let world: Beside
let room: TestRoom
beforeEach(async () => {
  world = await beside({ localUsers: [ALICE.id as UserId] })
  room = usualRoom('11', [says(ALICE, 'hello')])
  world.resident.has([room])
})
afterEach(() => world.close())

const readings = (): number => world.resident.count('state')
/** Longer than it is remembered that a room cannot be read. */
const REMEMBERED_MS = 20_000
const fresh = { kind: 'fresh', ageMs: expect.any(Number) }

/** As the feed brings it: now, and by one of our own users. */
function fed(event: SignedEvent, changes: JsonRecord = {}): JsonRecord {
  return { ...clientEvent(room, event), origin_server_ts: world.now(), ...changes }
}

const tell = (event: SignedEvent, changes?: JsonRecord): void => world.homeserver.feed.take([fed(event, changes)])

/** Something happens, and the feed tells of it. */
function happens(...story: Parameters<Beside['resident']['happens']>[1][]): TestRoom {
  const next = world.resident.happens(room.roomId, ...story)
  tell(next.tip)
  // What changes in the millisecond in which a reading begins may not be in it.
  world.pass(1)
  return next
}

/** The feed says something that concerns no room here, so it is known to be alive. */
function isAlive(): void {
  world.homeserver.feed.take([
    {
      event_id: `$alive${world.now()}`,
      room_id: '!other:here.test',
      type: 'm.room.message',
      sender: ALICE.id,
      content: {},
      origin_server_ts: world.now(),
    },
  ])
}

describe('rooms without a live feed', () => {
  it('are read once for all who ask at a time', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => world.refresh(room)))
    expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(['fresh']))
    expect(readings()).toBe(1)
    expect(world.read).toEqual([room.roomId])
  })

  it('are served from memory up to their age, which is told, and then read again', async () => {
    await world.refresh(room)
    world.pass(30_000)
    const answer = await world.refresh(room)
    expect(answer).toEqual(fresh)
    expect((answer as { ageMs: number }).ageMs).toBeGreaterThanOrEqual(30_000)
    expect(readings()).toBe(1)
    const next = world.resident.happens(room.roomId, joinRule(ALICE, 'invite'))
    world.pass(31_000)
    expect(await world.refresh(room)).toEqual(fresh)
    expect(await world.stored(room, 'm.room.join_rules')).toBe(next.tip.eventId)
  })

  it('that are not there are not asked for again for ten seconds', async () => {
    const absent = { ...room, roomId: '!nowhere:here.test' }
    for (let time = 0; time < 5; time++) expect(await world.refresh(absent)).toEqual({ kind: 'absent' })
    const asked = world.resident.requests.length
    world.pass(10_001)
    expect(await world.refresh(absent)).toEqual({ kind: 'absent' })
    expect(world.resident.requests.length).toBe(2 * asked)
  })

  it('that are not there are asked for again sooner where rooms are to be known better', async () => {
    await world.close()
    world = await beside({ maxStateAgeMs: 500 })
    const absent = { ...room, roomId: '!nowhere:here.test' }
    expect(await world.refresh(absent)).toEqual({ kind: 'absent' })
    const asked = world.resident.requests.length
    world.pass(501)
    expect(await world.refresh(absent)).toEqual({ kind: 'absent' })
    expect(world.resident.requests.length).toBe(2 * asked)
  })

  it('are read again, young as they are, for who needs to know what is now', async () => {
    await world.refresh(room)
    const next = world.resident.happens(room.roomId, bans(ALICE, CAROL))
    world.pass(1)
    expect(await world.refresh(room)).toEqual(fresh)
    expect(readings()).toBe(1)
    const now = world.now()
    const times = { deadline: now + 10_000, notBefore: now }
    expect(await world.refreshAs(REMOTE.name, room.roomId, times)).toEqual(fresh)
    expect(readings()).toBe(2)
    expect(await world.stored(room, 'm.room.member', CAROL.id)).toBe(next.tip.eventId)
  })

  it('are not taken for what is now from a reading that was under way', async () => {
    world.resident.fails('held', 'state')
    const before = world.refresh(room)
    await expect.poll(readings).toBe(1)
    world.pass(1)
    const now = world.now()
    const asking = world.refreshAs(REMOTE.name, room.roomId, { deadline: now + 10_000, notBefore: now })
    world.resident.heals()
    expect(await before).toEqual(fresh)
    expect(await asking).toEqual(fresh)
    expect(readings()).toBe(2)
  })

  it('are never told of from memory beyond their age where the homeserver fails', async () => {
    await world.refresh(room)
    world.pass(60_001)
    world.resident.fails({ status: 503 }, 'make_leave')
    expect(await world.refresh(room)).toEqual({ kind: 'unavailable', reason: 'make_leave answers 503 M_UNKNOWN' })
    world.resident.heals()
    world.pass(REMEMBERED_MS)
    expect(await world.refresh(room)).toEqual(fresh)
  })

  it('are given up at the deadline, and read on for those who come later', async () => {
    world.resident.fails('stall', 'state')
    const started = Date.now()
    expect(await world.refresh(room, 2_000)).toEqual({ kind: 'unavailable', reason: 'the room is still being read' })
    expect(Date.now() - started).toBeLessThan(10_000)
    expect(world.failures).toEqual([])
    expect(await world.refresh(room, 100)).toMatchObject({ kind: 'unavailable' })
    expect(readings()).toBe(1)
  })

  it('end to be read where an answer never ends', async () => {
    world.resident.fails('endless', 'make_leave')
    expect(await world.refresh(room)).toMatchObject({ reason: 'make_leave: the answer is longer than 8388608 bytes' })
    world.resident.heals()
    world.pass(REMEMBERED_MS)
    expect(await world.refresh(room)).toEqual(fresh)
  })

  it('keep a knock that came into them while they were read', async () => {
    const knock = knockEvent(room, CAROL)
    world.resident.fails('held', 'state')
    const first = world.refresh(room)
    await expect.poll(readings).toBe(1)
    expect(await world.handOver(room, knock)).toEqual({ kind: 'accepted' })
    world.pass(1_001)
    world.resident.heals()
    expect(await first).toEqual(fresh)
    expect(await world.stored(room, 'm.room.member', CAROL.id)).toBe(knock.eventId)
  })
})

describe('rooms with a live feed', () => {
  beforeEach(async () => {
    isAlive()
    world.pass(1)
    await world.refresh(room)
    world.pass(1)
    world.resident.forget()
  })

  it('cost no request, whatever their age', async () => {
    world.pass(120_000)
    isAlive()
    world.pass(1)
    await world.refresh(room)
    world.resident.forget()
    for (let minute = 0; minute < 30; minute++) {
      for (const _part of [1, 2, 3]) {
        world.pass(20_000)
        isAlive()
      }
      expect(await world.refresh(room)).toEqual({ kind: 'fresh', ageMs: 0 })
    }
    expect(world.resident.requests).toEqual([])
  })

  it.each([
    ['a join rule', () => joinRule(ALICE, 'invite'), 'm.room.join_rules', ''],
    ['a server ACL', () => sets(ALICE, 'm.room.server_acl', { allow: ['*'] }), 'm.room.server_acl', ''],
    [
      'power levels',
      () => sets(ALICE, 'm.room.power_levels', { users: { [ALICE.id]: 100 } }),
      'm.room.power_levels',
      '',
    ],
    ['a topic', () => sets(ALICE, 'm.room.topic', { topic: 'Seeds' }), 'm.room.topic', ''],
    ['a ban', () => bans(ALICE, CAROL), 'm.room.member', CAROL.id],
  ] as const)(
    'H2 H3 show %s as soon as the feed tells of it, as if they were loaded anew',
    async (_what, line, type, key) => {
      const next = happens(line())
      expect(await world.refresh(room)).toEqual(fresh)
      expect(readings()).toBe(1)
      expect(await world.stored(room, type, key)).toBe(next.tip.eventId)

      const anew = await beside({ localUsers: [ALICE.id as UserId] })
      anew.resident.has([next])
      await anew.refresh(next)
      const facts = async ({ store }: Beside) => {
        const { state = [] } = (await store.readFacts(room.roomId as never)) ?? {}
        const { members, servers, extremities } = (await store.roomSummary(room.roomId as never)) ?? {}
        return { ids: state.map(({ eventId }) => eventId).sort(), members, servers, extremities }
      }
      expect(await facts(world)).toEqual(await facts(anew))
      await anew.close()
    },
  )

  it('H2 stay as they are for what is no state, though it has the type of some', async () => {
    const { state_key: _key, ...message } = fed(joinRuleEvent())
    world.homeserver.feed.take([{ ...message, event_id: '$message' }])
    happens(says(BOB, 'hello'))
    expect(await world.refresh(room)).toEqual({ kind: 'fresh', ageMs: 0 })
    expect(world.resident.requests).toEqual([])
  })

  it('H2 stay as they are for state that decides nothing, and for the state of others', async () => {
    happens(sets(ALICE, 'org.example.widget', { a: 1 }))
    happens(sets(ALICE, 'm.room.topic', { topic: 'of nobody' }, 'with a state key'))
    tell(joinRuleEvent(), { event_id: '$elsewhere', room_id: '!other:here.test' })
    expect(await world.refresh(room)).toEqual({ kind: 'fresh', ageMs: 0 })
    expect(world.resident.requests).toEqual([])
  })

  it('H1 are not read again for what was told before', async () => {
    const next = happens(joinRule(ALICE, 'invite'))
    await world.refresh(room)
    world.pass(1)
    world.resident.forget()
    tell(next.tip)
    tell(next.tip, { origin_server_ts: world.now() })
    expect(await world.refresh(room)).toEqual({ kind: 'fresh', ageMs: 0 })
    expect(world.resident.requests).toEqual([])
  })

  it('H5 are gone as soon as the last local user has left', async () => {
    world.resident.leaves(room.roomId)
    tell({
      eventId: '$left',
      pdu: { ...room.tip.pdu, type: 'm.room.member', state_key: ALICE.id, content: { membership: 'leave' } },
    })
    expect(await world.refresh(room)).toEqual({ kind: 'absent' })
    world.resident.has([room])
    tell({
      eventId: '$back',
      pdu: { ...room.tip.pdu, type: 'm.room.member', state_key: ALICE.id, content: { membership: 'join' } },
    })
    expect(await world.refresh(room)).toEqual(fresh)
  })

  it('are read as another of ours once the one they were read as has left', async () => {
    const joined = happens(joins(LEE))
    expect(await world.refresh(room)).toEqual(fresh)
    world.pass(1)
    world.resident.forget()
    const next = world.resident.happens(joined.roomId, leaves(LEE))
    tell(next.tip)
    expect(await world.refresh(room)).toEqual(fresh)
    expect(world.resident.count('make_leave')).toBe(1)
    expect(world.resident.requests[0]?.uri).toContain(encodeURIComponent(ALICE.id))
  })

  it('are read again where they change while they are read', async () => {
    world.resident.fails('held', 'state')
    happens(sets(ALICE, 'm.room.topic', { topic: 'Seeds' }))
    const asking = world.refresh(room)
    await expect.poll(readings).toBe(1)
    const last = happens(joinRule(ALICE, 'invite'))
    world.pass(1_001)
    world.resident.heals()
    expect(await asking).toEqual(fresh)
    expect(readings()).toBe(2)
    expect(await world.stored(room, 'm.room.join_rules')).toBe(last.tip.eventId)
  })

  it('are told of as they were less than a second ago where something happens all the time', async () => {
    world.resident.fails('held', 'state')
    happens(sets(ALICE, 'm.room.topic', { topic: 'Seeds' }))
    const asking = world.refresh(room)
    await expect.poll(readings).toBe(1)
    happens(sets(ALICE, 'm.room.topic', { topic: 'Leaves' }))
    world.resident.heals()
    expect(await asking).toEqual(fresh)
    expect(readings()).toBe(1)
    // Whoever asks next is owed what was told.
    expect(await world.refresh(room)).toEqual(fresh)
    expect(readings()).toBe(2)
  })

  it('are read again by age once the feed is interrupted, until it lives again', async () => {
    world.homeserver.feed.interrupted()
    world.pass(59_000)
    expect(await world.refresh(room)).toMatchObject({ kind: 'fresh' })
    expect(readings()).toBe(0)
    world.pass(2_000)
    await world.refresh(room)
    expect(readings()).toBe(1)
    // What is told now says nothing of what was not told before.
    isAlive()
    world.pass(61_000)
    isAlive()
    await world.refresh(room)
    expect(readings()).toBe(2)
  })

  it('are read again by age where the feed is late', async () => {
    world.homeserver.feed.take([fed(room.tip, { event_id: '$late', origin_server_ts: world.now() - 1_500 })])
    expect(world.homeserver.feed.liveSince()).toBeUndefined()
    world.pass(61_000)
    await world.refresh(room)
    expect(readings()).toBe(1)
  })

  it('are read again by age where the feed has fallen silent', async () => {
    world.pass(31_000)
    expect(world.homeserver.feed.liveSince()).toBeUndefined()
    world.pass(31_000)
    await world.refresh(room)
    expect(readings()).toBe(1)
  })

  it('are read before anybody asks once people may knock', async () => {
    const open = usualRoomOf('opened')
    world.resident.has([open])
    tell(open.state('m.room.join_rules') as SignedEvent, { event_id: '$opened', room_id: open.roomId })
    await expect.poll(() => world.read).toContain(open.roomId)
    world.pass(1)
    world.resident.forget()
    expect(await world.refresh(open)).toEqual({ kind: 'fresh', ageMs: 0 })
    expect(world.resident.requests).toEqual([])
  })

  it('are not read for a rule that lets nobody knock', async () => {
    const closed = usualRoomOf('closed')
    world.resident.has([closed])
    const told = fed(joinRuleEvent(), { event_id: '$closed', room_id: closed.roomId, content: { join_rule: 'invite' } })
    world.homeserver.feed.take([told])
    await world.refresh(room)
    expect(world.read).not.toContain(closed.roomId)
    expect(world.resident.requests).toEqual([])
  })

  const joinRuleEvent = (): SignedEvent => room.state('m.room.join_rules') as SignedEvent
})

function usualRoomOf(localpart: string): TestRoom {
  return buildRoom('11', ALICE, opening(ALICE, '11'), { localpart })
}
