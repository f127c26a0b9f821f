import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { finishEvent, KNOCKABLE_VERSIONS, type TestedVersion } from '../support/events.ts'
import { knockDraft, knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import type { Json, JsonRecord } from '../support/signing.ts'
import { bans, buildRoom, joinRule, joins, leaves, opening, person, sets, type TestRoom } from '../support/test-room.ts'
import { type Cast, type Stage, setStage } from './stage.ts'

let stage: Stage
const knockable = new Map<TestedVersion, TestRoom>()
const restricted = new Map<TestedVersion, TestRoom>()
const closed = new Map<string, TestRoom>()
const federate = new Map<Json, TestRoom>()
const other = new Map<TestedVersion, TestRoom>()

const OTHER_RULES: readonly Json[] = ['invite', 'public', 'private', 'restricted', 'KNOCK', 7, null]

function build({ alice, bob, remote }: Cast): readonly TestRoom[] {
  const banned = person('banned', remote.identity)
  for (const version of KNOCKABLE_VERSIONS) {
    const members = [joins(bob), joins(banned), leaves(banned), bans(alice, banned)]
    const named = sets(alice, 'm.room.name', { name: 'Garden' })
    const story = [...opening(alice, version, 'public'), ...members, named, joinRule(alice, 'knock')]
    knockable.set(version, buildRoom(version, alice, story))
    restricted.set(version, buildRoom(version, alice, opening(alice, version, 'knock_restricted')))
  }
  other.set('10', buildRoom('10', alice, opening(alice, '10')))
  for (const rule of OTHER_RULES) {
    closed.set(String(rule), buildRoom('10', alice, [...opening(alice, '10'), joinRule(alice, rule)]))
  }
  closed.set('(no rule)', buildRoom('10', alice, [joins(alice)]))
  closed.set('(no key)', buildRoom('10', alice, [joins(alice), sets(alice, 'm.room.join_rules', {})]))
  for (const value of [false, 'false', 0, true] as const) {
    federate.set(value, buildRoom('10', alice, opening(alice, '10'), { createContent: { 'm.federate': value } }))
  }
  return [knockable, restricted, closed, federate, other].flatMap((rooms) => [...rooms.values()])
}

beforeAll(async () => {
  stage = await setStage(build)
})
afterAll(() => stage?.close())

function from<Key>(rooms: ReadonlyMap<Key, TestRoom>, key: Key): TestRoom {
  const room = rooms.get(key)
  if (room === undefined) throw new Error(`no room ${String(key)}`)
  return room
}

const forbidden = { status: 403, body: { errcode: 'M_FORBIDDEN', error: expect.any(String) } }

/** Sends a knock of somebody new with these changes. */
async function knockWith(room: TestRoom, localpart: string, changes: JsonRecord = {}) {
  return sendKnock(stage.service, stage.remote.identity, room, knockEvent(room, stage.knocker(localpart), changes))
}

describe.each(KNOCKABLE_VERSIONS)('auth rules in room version %s', (version) => {
  const room = (): TestRoom => from(knockable, version)
  const idOfState = (type: string, stateKey?: string): string => room().state(type, stateKey)?.eventId ?? '$none'
  const cited = (): readonly string[] => room().authEventsFor(stage.knocker('new').id)
  const olderRules = (): string => {
    const older = room().timeline.find(({ pdu }) => pdu.type === 'm.room.join_rules')
    return older?.eventId ?? '$none'
  }

  it('F3 the knock that cites what it must is accepted', async () => {
    expect((await knockWith(room(), 'new')).status).toBe(200)
  })

  it('F3 R3 two auth events of one type and state key are refused', async () => {
    expect(await knockWith(room(), 'r3a', { auth_events: [...cited(), olderRules()] })).toMatchObject(forbidden)
    const [first = '$none'] = cited()
    expect(await knockWith(room(), 'r3b', { auth_events: [...cited(), first] })).toMatchObject(forbidden)
  })

  it('F3 R4 an auth event that a knock does not need is refused', async () => {
    const needless = [idOfState('m.room.name'), idOfState('m.room.member', stage.alice.id)]
    if (version === '12') needless.push(idOfState('m.room.create'))
    for (const [at, eventId] of needless.entries()) {
      expect(await knockWith(room(), `r4-${at}`, { auth_events: [...cited(), eventId] })).toMatchObject(forbidden)
    }
  })

  it('F3 R6 without the create event it is refused, but in version 12 nobody cites it', async () => {
    const create = idOfState('m.room.create')
    const without = cited().filter((eventId) => eventId !== create)
    const { status } = await knockWith(room(), 'r6', { auth_events: without })
    expect(status).toBe(version === '12' ? 200 : 403)
  })

  it('F3 R7 an auth event of another room, or one that nobody knows, is refused', async () => {
    const foreign = from(other, '10').state('m.room.power_levels')?.eventId ?? '$none'
    const others = cited().filter((eventId) => eventId !== idOfState('m.room.power_levels'))
    expect(await knockWith(room(), 'r7', { auth_events: [...others, foreign] })).toMatchObject(forbidden)
    expect(await knockWith(room(), 'r7', { auth_events: [...cited(), `$${'A'.repeat(43)}`] })).toMatchObject(forbidden)
  })

  it('F3 R11 without the join rules among its auth events it is refused', async () => {
    const auth_events = cited().filter((eventId) => eventId !== idOfState('m.room.join_rules'))
    expect(await knockWith(room(), 'r11', { auth_events })).toMatchObject(forbidden)
  })

  it('F3 R11 under join rules that did not let users knock, and are still cited, it is refused', async () => {
    const others = cited().filter((eventId) => eventId !== idOfState('m.room.join_rules'))
    expect(await knockWith(room(), 'r11', { auth_events: [...others, olderRules()] })).toMatchObject(forbidden)
  })

  it('F3 R11 knock_restricted lets users knock from version 10 on', async () => {
    const status = ['7', '8', '9'].includes(version) ? 403 : 200
    expect((await knockWith(from(restricted, version), 'new')).status).toBe(status)
    expect((await makeKnock(stage.service, stage.knocker('new'), from(restricted, version))).status).toBe(status)
  })

  it('F7 a knock that cites the leave from before the ban is 403', async () => {
    const banned = stage.knocker('banned')
    const isLeave = ({ pdu }: { pdu: JsonRecord }): boolean =>
      pdu.state_key === banned.id && (pdu.content as JsonRecord).membership === 'leave'
    const stale = room().timeline.find(isLeave)?.eventId ?? '$none'
    const others = room().authEventsFor(stage.knocker('new').id)
    const event = knockEvent(room(), banned, { auth_events: [...others, stale] })
    expect(await sendKnock(stage.service, stage.remote.identity, room(), event)).toMatchObject(forbidden)
    const silent = knockEvent(room(), banned, { auth_events: others })
    expect(await sendKnock(stage.service, stage.remote.identity, room(), silent)).toMatchObject(forbidden)
  })

  it('F8 unknown or no prev_events are 403, too many references 400', async () => {
    const nobodyKnows = `$${'B'.repeat(43)}`
    expect(await knockWith(room(), 'f8', { prev_events: [nobodyKnows] })).toMatchObject(forbidden)
    expect(await knockWith(room(), 'f8', { prev_events: [room().tip.eventId, nobodyKnows] })).toMatchObject(forbidden)
    expect(await knockWith(room(), 'f8', { prev_events: [] })).toMatchObject(forbidden)
    const many = (count: number): string[] => Array.from({ length: count }, () => room().tip.eventId)
    expect((await knockWith(room(), 'f8', { prev_events: many(21) })).status).toBe(400)
    expect((await knockWith(room(), 'f8', { auth_events: many(11) })).status).toBe(400)
  })

  it('F8 a depth beyond what its prev_events allow is 400, a smaller one is let be', async () => {
    const deepest = Number(room().tip.pdu.depth) + 1_000_000
    expect(await knockWith(room(), 'deep', { depth: deepest })).toMatchObject({
      status: 400,
      body: { errcode: 'M_INVALID_PARAM' },
    })
    expect((await knockWith(room(), 'shallow', { depth: 1 })).status).toBe(200)
  })

  it('F9 join_authorised_via_users_server needs the signature of that server, except in version 7', async () => {
    const content = { membership: 'knock', join_authorised_via_users_server: stage.bob.id }
    const { status, body } = await knockWith(room(), 'javus', { content })
    expect({ status, errcode: body.errcode }).toEqual(
      version === '7' ? { status: 200, errcode: undefined } : { status: 403, errcode: 'M_FORBIDDEN' },
    )
    const draft = knockDraft(room(), stage.knocker('javus-signed'), { content })
    const both = finishEvent(draft, version, stage.remote.identity, stage.neighbour.identity)
    expect((await sendKnock(stage.service, stage.remote.identity, room(), both)).status).toBe(200)
  })
})

describe('auth rules in any version', () => {
  it.each([...OTHER_RULES.map(String), '(no rule)', '(no key)'])('F3 R11 the join rule %s is 403', async (rule) => {
    expect(await knockWith(from(closed, rule), 'new')).toMatchObject(forbidden)
    expect(await makeKnock(stage.service, stage.knocker('new'), from(closed, rule))).toMatchObject(forbidden)
  })

  it('F5 only m.federate false keeps other servers out', async () => {
    expect(await knockWith(from(federate, false), 'new')).toMatchObject(forbidden)
    expect(await makeKnock(stage.service, stage.knocker('new'), from(federate, false))).toMatchObject(forbidden)
    for (const value of ['false', 0, true]) {
      expect((await knockWith(from(federate, value), 'new')).status).toBe(200)
    }
  })
})
