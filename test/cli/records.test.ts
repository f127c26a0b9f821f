import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Decision } from '../../src/knock/ports/rooms.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { buildRoom, opening, person, sets, type TestRoom } from '../support/test-room.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'

let work: Workplace
let config: string
let room: TestRoom

beforeEach(async () => {
  work = await openWorkplace()
  config = await work.configure()
  const alice = person('alice', work.identity)
  room = buildRoom('10', alice, [...opening(alice, '10'), sets(alice, 'm.room.name', { name: 'Gar\u202eden\n' })])
})
afterEach(() => work.remove())

async function onStore(use: (store: Store) => Promise<unknown>): Promise<void> {
  const store = await openSqliteStore({ path: work.at('knock.db'), clock: Date.now })
  try {
    await use(store)
  } finally {
    await store.close()
  }
}

async function importRoom(store: Store): Promise<void> {
  const roomId = room.roomId as RoomId
  const staged = await store.beginImport({
    ...{ roomId, version: room.version, ownServer: work.identity.name as ServerName, discardKnocks: false },
  })
  const events = room.timeline as unknown as readonly RoomEvent[]
  await staged.addState(events.map((event) => ({ ...event, verified: true })))
  await staged.addExtremities([room.tip as unknown as RoomEvent])
  await staged.swap()
}

const decision: Decision = {
  time: Date.UTC(2026, 0, 2, 3, 4, 5),
  endpoint: 'send_knock',
  roomId: '!room:resident.example' as RoomId,
  userId: '@kim:remote.example' as UserId,
  origin: 'remote.example' as ServerName,
  eventId: `$${'e'.repeat(43)}` as EventId,
  outcome: 'refused',
  status: 403,
  errcode: 'M_FORBIDDEN',
  rule: 'auth v10 4.7.1',
  reason: 'the join rule is invite',
  facts: { roomVersion: '10', revision: 3, joinRule: 'invite', membership: undefined, ageMs: undefined },
}

describe('rooms', () => {
  it('list says so when there are none', async () => {
    expect(await work.run('rooms', 'list', '-c', config)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/No rooms/),
    })
    expect(await work.run('rooms', 'list', '--json', '-c', config)).toMatchObject({ code: 0, out: '[]\n' })
  })

  it('list and show tell of a room, for people and as JSON', async () => {
    await onStore(importRoom)
    const { code, out } = await work.run('rooms', 'list', '-c', config)
    const [head = '', line = ''] = out.split('\n')
    expect(code).toBe(0)
    expect(head.split(/\s+/)).toEqual(['ROOM', 'VERSION', 'MEMBERS', 'SERVERS', 'ANSWERS', 'NAME'])
    expect(line).toMatch(new RegExp(`^${room.roomId} +10 +1 +1 +yes +Gar\\\\u\\{202e\\}den\\\\u\\{a\\}$`))
    const [listed] = JSON.parse((await work.run('rooms', 'list', '--json', '-c', config)).out)
    expect(listed).toMatchObject({ room_id: room.roomId, room_version: '10', members: 1, servers: 1, resident: true })
    const shown = await work.run('rooms', 'show', room.roomId, '--json', '-c', config)
    expect(JSON.parse(shown.out)).toEqual({ ...listed, closed_to_knocks: null, unusable_events: [] })
    const text = await work.run('rooms', 'show', room.roomId, '-c', config)
    expect(text.out).toMatch(/room_version +10/)
  })

  it('show exits with 1 for an unknown room, with 2 for what is no room id', async () => {
    expect(await work.run('rooms', 'show', '!none:resident.example', '-c', config)).toMatchObject({ code: 1, out: '' })
    expect(await work.run('rooms', 'show', 'none', '-c', config)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/no room id/),
    })
  })
})

describe('knocks list', () => {
  it('says so when there are none', async () => {
    expect(await work.run('knocks', 'list', '-c', config)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/No knocks/),
    })
  })

  it('tells event id, rule, reason and facts, newest first, for people and as JSON', async () => {
    await onStore(async (store) => {
      store.recordDecision(decision)
      store.recordDecision({ ...decision, time: decision.time + 1000, endpoint: 'make_knock', eventId: undefined })
    })
    const { out } = await work.run('knocks', 'list', '-c', config)
    const [, newest = '', oldest = ''] = out.split('\n')
    expect(newest).toContain('2026-01-02T03:04:06.000Z  make_knock  refused 403  @kim:remote.example')
    for (const part of [decision.eventId, 'auth v10 4.7.1', 'the join rule is invite']) expect(oldest).toContain(part)
    const list = JSON.parse((await work.run('knocks', 'list', '--json', '--limit', '1', '-c', config)).out)
    expect(list).toEqual([
      {
        time: '2026-01-02T03:04:06.000Z',
        endpoint: 'make_knock',
        outcome: 'refused',
        status: 403,
        errcode: 'M_FORBIDDEN',
        room_id: '!room:resident.example',
        user_id: '@kim:remote.example',
        origin: 'remote.example',
        event_id: null,
        rule: 'auth v10 4.7.1',
        reason: 'the join rule is invite',
        facts: { room_version: '10', revision: 3, join_rule: 'invite', membership: null, age_ms: null },
      },
    ])
  })

  it('keeps to a room and a user', async () => {
    await onStore(async (store) => store.recordDecision(decision))
    const count = async (...filter: string[]): Promise<number> =>
      JSON.parse((await work.run('knocks', 'list', '--json', '-c', config, ...filter)).out).length
    expect(await count('--room', decision.roomId, '--user', decision.userId)).toBe(1)
    expect(await count('--room', '!other:resident.example')).toBe(0)
    expect(await count('--user', '@other:remote.example')).toBe(0)
    expect(await work.run('knocks', 'list', '-c', config, '--room', 'x')).toMatchObject({ code: 2 })
    expect(await work.run('knocks', 'list', '-c', config, '--user', 'x')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/no user id/),
    })
  })
})
