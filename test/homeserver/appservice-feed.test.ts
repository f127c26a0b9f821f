import { beforeEach, describe, expect, it } from 'vitest'
import type { Acceptance } from '../../src/homeserver/acceptance.ts'
import { type AppserviceFeed, createAppserviceFeed } from '../../src/homeserver/appservice-feed.ts'
import { createLocalUsers, type LocalUsers } from '../../src/homeserver/local-users.ts'
import type { RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import type { JsonValue } from '../../src/matrix/json.ts'

const ROOM = '!room:here.test' as RoomId
const ALICE = '@alice:here.test' as UserId
const ANYONE = '@anyone:here.test' as UserId
const START = 1_790_000_000_000

let now: number
let told: RoomId[]
let changed: string[]
let loaded: string[]
let seen: string[]
let waited: string[]
let localUsers: LocalUsers
let feed: AppserviceFeed
let events = 0

beforeEach(() => {
  now = START
  told = []
  changed = []
  loaded = []
  seen = []
  waited = []
  localUsers = createLocalUsers([], ANYONE)
  const acceptance: Pick<Acceptance, 'seen'> = {
    seen(eventId) {
      seen.push(eventId)
      return waited.includes(eventId)
    },
  }
  feed = createAppserviceFeed({
    serverName: 'here.test' as ServerName,
    rooms: {
      told: (room) => void told.push(room),
      changed: (room) => void changed.push(room),
      load: (room) => void loaded.push(room),
    },
    localUsers,
    acceptance: acceptance as Acceptance,
    clock: () => now,
  })
})

type Fed = { [key: string]: JsonValue }

function event(changes: Fed = {}): Fed {
  events += 1
  return {
    ...{ event_id: `$event${events}`, room_id: ROOM, sender: ALICE, type: 'm.room.message' },
    ...{ content: {}, origin_server_ts: now, unsigned: { age: 1 } },
    ...changes,
  }
}

const state = (type: string, content: Fed, changes: Fed = {}): Fed =>
  event({ type, content, state_key: '', ...changes })
const member = (userId: string, membership: string, changes: Fed = {}): Fed =>
  state('m.room.member', { membership }, { state_key: userId, ...changes })

describe('what the feed tells', () => {
  it.each([
    'm.room.create',
    'm.room.join_rules',
    'm.room.power_levels',
    'm.room.server_acl',
    'm.room.policy',
    'm.room.name',
    'm.room.encryption',
  ])('H2 %s changes its room', (type) => {
    feed.take([state(type, {})])
    expect(changed).toEqual([ROOM])
  })

  it('H2 members change their room, whoever they are', () => {
    feed.take([member(ALICE, 'join'), member('@bob:there.test', 'leave'), member('@carol:remote.test', 'ban')])
    expect(changed).toEqual([ROOM, ROOM, ROOM])
  })

  it('H2 what has no state key changes nothing, whatever its type', () => {
    const types = ['m.room.member', 'm.room.join_rules', 'm.room.server_acl', 'm.room.message']
    feed.take(types.map((type) => event({ type, content: { membership: 'ban', join_rule: 'knock' } })))
    expect([changed, loaded]).toEqual([[], []])
  })

  it('H2 a state key that is not empty changes nothing but members', () => {
    feed.take([state('m.room.join_rules', { join_rule: 'knock' }, { state_key: 'x' })])
    expect([changed, loaded]).toEqual([[], []])
  })

  it('H1 an event that comes again changes nothing, in whatever transaction', () => {
    const first = state('m.room.topic', {})
    const second = state('m.room.name', {})
    feed.take([first])
    feed.take([first])
    expect(changed).toHaveLength(1)
    // Dendrite adds events under the id of a transaction that failed.
    feed.take([first, second])
    feed.take([second, first, first])
    expect(changed).toHaveLength(2)
  })

  it('H1 the order of transactions does not matter', () => {
    const [older, newer] = [state('m.room.topic', {}), state('m.room.topic', {})]
    feed.take([newer])
    feed.take([older])
    expect(changed).toHaveLength(2)
  })

  it('H1 twenty thousand events are remembered', () => {
    const first = state('m.room.topic', {})
    feed.take([first, ...Array.from({ length: 19_999 }, () => event())])
    feed.take([first])
    expect(changed).toHaveLength(1)
  })

  it.each<[string, JsonValue]>([
    ['null', null],
    ['a number', 7],
    ['a list', []],
    ['an event without an id', { ...state('m.room.topic', {}), event_id: 1 }],
    ['an event of no room', { ...state('m.room.topic', {}), room_id: 'room' }],
    ['an event without a room', { ...state('m.room.topic', {}), room_id: null }],
    ['an event without a type', { ...state('m.room.topic', {}), type: null }],
    ['an event whose key is a number', { ...state('m.room.topic', {}), state_key: 0 }],
  ])('%s is passed over, and what stands beside it is taken', (_what, value) => {
    feed.take([value, state('m.room.name', {})])
    expect(changed).toEqual([ROOM])
  })

  it.each<[string, Fed]>([
    ['no content', { content: null }],
    ['no sender', { sender: null }],
    ['no time', { origin_server_ts: 'now' }],
    ['a member that is no user', { type: 'm.room.member', state_key: 'somebody', content: { membership: 'join' } }],
  ])('an event with %s changes its room all the same', (_what, changes) => {
    feed.take([state('m.room.join_rules', {}, changes)])
    expect(changed).toEqual([ROOM])
    expect(localUsers.of(ROOM)).toEqual([ANYONE])
  })

  it('two hundred thousand events in one transaction are no harm', () => {
    feed.take(Array.from({ length: 200_000 }, (_, at) => event({ event_id: `$mass${at}` })))
    expect(feed.liveSince()).toBe(START)
  })

  it('rooms that let people knock are read at once, others are not', () => {
    for (const join_rule of ['knock', 'knock_restricted', 'invite', 'public', 7]) {
      feed.take([state('m.room.join_rules', { join_rule }, { room_id: `!${join_rule}:here.test` })])
    }
    expect(loaded).toEqual(['!knock:here.test', '!knock_restricted:here.test'])
  })

  it('local users are known as joined until they leave', () => {
    feed.take([member(ALICE, 'join'), member('@lee:here.test', 'join'), member('@bob:there.test', 'join')])
    expect(localUsers.of(ROOM)).toEqual(['@lee:here.test', ALICE, ANYONE])
    feed.take([member('@lee:here.test', 'leave')])
    expect(localUsers.of(ROOM)).toEqual([ALICE, ANYONE])
    feed.take([member(ALICE, 'ban')])
    expect(localUsers.of(ROOM)).toEqual([ANYONE])
  })

  it('five users of a room are remembered, the last first', () => {
    feed.take(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => member(`@${name}:here.test`, 'join')))
    const names = localUsers.of(ROOM).map((user) => user.slice(1, 2))
    expect(names.join('')).toBe('fedcba')
  })
})

describe('knocks that the feed tells of', () => {
  const knock = (changes: Fed = {}): Fed => member('@carol:remote.test', 'knock', changes)

  it('are shown to who waits, and change a room only where nobody did', () => {
    waited = ['$waited']
    feed.take([knock({ event_id: '$waited' }), knock({ event_id: '$other' })])
    expect(seen).toEqual(['$waited', '$other'])
    expect(changed).toEqual([ROOM])
  })

  it('are nothing where Synapse left them out of the room', () => {
    feed.take([knock({ unsigned: { 'io.element.synapse.soft_failed': true } })])
    expect([seen, changed]).toEqual([[], []])
  })

  it('count where the mark says that they were not left out', () => {
    feed.take([knock({ unsigned: { 'io.element.synapse.soft_failed': false } })])
    expect(seen).toHaveLength(1)
  })
})

describe('the life of the feed', () => {
  it('begins with an event of our own server that is not late', () => {
    expect(feed.liveSince()).toBeUndefined()
    feed.take([])
    feed.take([event({ sender: '@bob:there.test' })])
    feed.take([event({ origin_server_ts: now - 1_001 })])
    expect(feed.liveSince()).toBeUndefined()
    feed.take([event({ origin_server_ts: now - 1_000 })])
    expect(feed.liveSince()).toBe(START)
  })

  it('goes on while it tells in time, whatever comes late from other servers', () => {
    feed.take([event()])
    now += 20_000
    feed.take([event({ sender: '@bob:there.test', origin_server_ts: now - 3_600_000 })])
    feed.take([event({ origin_server_ts: now - 5_000 }), event()])
    expect(feed.liveSince()).toBe(START)
  })

  it('ends where what our own users did comes late, and begins anew', () => {
    feed.take([event()])
    now += 5_000
    feed.take([event({ origin_server_ts: now - 1_500 })])
    expect(feed.liveSince()).toBeUndefined()
    now += 10
    feed.take([event()])
    expect(feed.liveSince()).toBe(now)
  })

  it('ends where it is interrupted, and begins anew', () => {
    feed.take([event()])
    feed.interrupted()
    expect(feed.liveSince()).toBeUndefined()
    now += 10
    feed.reached()
    expect(feed.liveSince()).toBeUndefined()
    feed.take([event()])
    expect(feed.liveSince()).toBe(now)
  })

  it('ends where nothing was heard for half a minute, and begins anew with what is told then', () => {
    feed.take([event()])
    now += 30_000
    expect(feed.liveSince()).toBe(START)
    now += 1
    expect(feed.liveSince()).toBeUndefined()
    feed.reached()
    expect(feed.liveSince()).toBeUndefined()
    feed.take([event()])
    expect(feed.liveSince()).toBe(now)
  })

  it('goes on through silence while the homeserver is known to reach us', () => {
    feed.take([event()])
    for (let times = 0; times < 10; times++) {
      now += 15_000
      feed.reached()
    }
    expect(feed.liveSince()).toBe(START)
  })

  it('goes on where only events of others come', () => {
    feed.take([event()])
    for (let times = 0; times < 10; times++) {
      now += 15_000
      feed.take([event({ sender: '@bob:there.test' })])
    }
    expect(feed.liveSince()).toBe(START)
  })
})
