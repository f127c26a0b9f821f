import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KNOCKABLE_VERSIONS, type TestedVersion } from '../support/events.ts'
import { exchange } from '../support/http-client.ts'
import { makeKnock, makeKnockPath, signedRequest } from '../support/remote-knocker.ts'
import type { JsonRecord } from '../support/signing.ts'
import {
  bans,
  buildRoom,
  invites,
  joinRule,
  joins,
  leaves,
  opening,
  person,
  sets,
  type TestRoom,
} from '../support/test-room.ts'
import { type Cast, type Stage, setStage } from './stage.ts'

let stage: Stage
const full = new Map<TestedVersion, TestRoom>()
const bare = new Map<TestedVersion, TestRoom>()
let old: TestRoom
let deep: TestRoom
let guarded: TestRoom
let left: TestRoom
let closed: TestRoom

function rooms({ alice, bob, remote }: Cast): readonly TestRoom[] {
  const gone = person('gone', remote.identity)
  const joined = person('joined', remote.identity)
  for (const version of KNOCKABLE_VERSIONS) {
    const members = [joinRule(alice, 'public'), joins(bob), joins(gone), joins(joined), leaves(gone)]
    const others = [bans(alice, person('banned', remote.identity)), invites(alice, person('invited', remote.identity))]
    const story = [...opening(alice, version), ...members, ...others, joinRule(alice, 'knock')]
    full.set(version, buildRoom(version, alice, story))
    bare.set(version, buildRoom(version, alice, [joins(alice), joinRule(alice, 'knock')]))
  }
  old = buildRoom('6', alice, opening(alice, '6'))
  deep = buildRoom('10', alice, opening(alice, '10'), { depth: Number.MAX_SAFE_INTEGER - 3 })
  const denied = sets(alice, 'm.room.server_acl', { allow: ['*'], deny: ['127.0.0.1'] })
  guarded = buildRoom('10', alice, [...opening(alice, '10'), denied])
  left = buildRoom('10', alice, [...opening(alice, '10'), joinRule(alice, 'public'), joins(bob), leaves(alice)])
  closed = buildRoom('10', alice, opening(alice, '10', 'invite'))
  return [...full.values(), ...bare.values(), old, deep, guarded, left, closed]
}

beforeAll(async () => {
  stage = await setStage(rooms)
})
afterAll(() => stage?.close())

const named = (list: ReadonlyMap<TestedVersion, TestRoom>, version: TestedVersion): TestRoom => {
  const room = list.get(version)
  if (room === undefined) throw new Error(`no room of version ${version}`)
  return room
}
const refusal = (status: number, errcode: string) => ({ status, body: { errcode, error: expect.any(String) } })

describe.each(KNOCKABLE_VERSIONS)('make_knock in room version %s', (version) => {
  it.each([
    ['power levels, no membership', full, 'new'],
    ['power levels, a membership from before', full, 'gone'],
    ['no power levels', bare, 'new'],
  ])('E1 the template has its fields and auth_events: %s', async (_name, list, localpart) => {
    const room = named(list, version)
    const kim = stage.knocker(localpart)
    const before = Date.now()
    const { status, body } = await makeKnock(stage.service, kim, room)
    expect({ status, version: body.room_version }).toEqual({ status: 200, version })
    const event = body.event as JsonRecord
    expect(event).toEqual({
      type: 'm.room.member',
      room_id: room.roomId,
      sender: kim.id,
      state_key: kim.id,
      content: { membership: 'knock' },
      origin: stage.resident.name,
      origin_server_ts: expect.any(Number),
      depth: Number(room.tip.pdu.depth) + 1,
      prev_events: [room.tip.eventId],
      auth_events: expect.any(Array),
    })
    expect([...(event.auth_events as string[])].sort()).toEqual([...room.authEventsFor(kim.id)].sort())
    expect(event.origin_server_ts).toBeGreaterThanOrEqual(before)
  })

  it('E3 the template has no hashes, signatures, unsigned or event_id', async () => {
    const { body } = await makeKnock(stage.service, stage.knocker('new'), named(full, version))
    expect(body.event).toBeInstanceOf(Object)
    for (const key of ['hashes', 'signatures', 'unsigned', 'event_id']) expect(body.event).not.toHaveProperty(key)
  })

  it.each(['banned', 'invited', 'joined'])('E2 row 11: a user whose membership is %s is refused', async (localpart) => {
    const answer = await makeKnock(stage.service, stage.knocker(localpart), named(full, version))
    expect(answer).toMatchObject(refusal(403, 'M_FORBIDDEN'))
  })
})

describe('make_knock, row by row', () => {
  it('E2 row 1: another method is 405', async () => {
    const path = makeKnockPath(closed.roomId, stage.knocker('new').id, '10')
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const answer = await exchange(stage.service.port, { method, path, body: '{}' })
      expect(answer).toMatchObject(refusal(405, 'M_UNRECOGNIZED'))
    }
  })

  it('E2 row 2: without authentication it is 401, whether or not there is such a room', async () => {
    for (const roomId of [closed.roomId, '!nowhere:resident.example']) {
      const path = makeKnockPath(roomId, stage.knocker('new').id, '10')
      const answer = await exchange(stage.service.port, { method: 'GET', path })
      expect(answer).toMatchObject(refusal(401, 'M_UNAUTHORIZED'))
    }
  })

  it.each([
    ['no sigil', 'room:resident.example', '@kim:remote.example'],
    ['no server', '!room:', '@kim:remote.example'],
    ['a user for a room', '@kim:remote.example', '@kim:remote.example'],
    ['a room for a user', '!room:resident.example', '!room:resident.example'],
    ['a NUL', '!ro\0om:resident.example', '@kim:remote.example'],
    ['256 bytes', `!${'r'.repeat(238)}:resident.example`, '@kim:remote.example'],
    ['256 bytes of user', '!room:resident.example', `@${'k'.repeat(240)}:remote.example`],
  ])('E2 row 3: an id with %s is 400', async (_name, roomId, userId) => {
    const answer = await signedRequest(stage.service, stage.remote.identity, 'GET', makeKnockPath(roomId, userId, '10'))
    expect(answer).toMatchObject(refusal(400, 'M_INVALID_PARAM'))
  })

  it.each(['%ff', '%zz', '%'])('E2 row 3: the escape %s is 400', async (octet) => {
    const path = `/_matrix/federation/v1/make_knock/!${octet}:resident.example/@kim:remote.example?ver=10`
    const answer = await signedRequest(stage.service, stage.remote.identity, 'GET', path)
    expect(answer.status).toBe(400)
    expect(answer.body).toMatchObject({ errcode: expect.stringMatching(/^M_/), error: expect.any(String) })
  })

  it('E2 row 4: without ver it is 400 M_MISSING_PARAM', async () => {
    const answer = await makeKnock(stage.service, stage.knocker('new'), named(full, '10'), [])
    expect(answer).toMatchObject(refusal(400, 'M_MISSING_PARAM'))
  })

  it('E2 row 5: an unknown room, and one that our users have left, are 404', async () => {
    const unknown = { roomId: '!nowhere:resident.example', version: '10' }
    expect(await makeKnock(stage.service, stage.knocker('new'), unknown)).toMatchObject(refusal(404, 'M_NOT_FOUND'))
    expect(await makeKnock(stage.service, stage.knocker('new'), left)).toMatchObject(refusal(404, 'M_NOT_FOUND'))
  })

  it('E6 and E2 row 6: a server denied by the ACL gets 403, even with the wrong version or the wrong user', async () => {
    const kim = stage.knocker('new')
    expect(await makeKnock(stage.service, kim, guarded)).toMatchObject(refusal(403, 'M_FORBIDDEN'))
    const mismatched = await makeKnock(stage.service, kim, guarded, ['7'])
    expect(mismatched).toMatchObject(refusal(403, 'M_FORBIDDEN'))
    expect(mismatched.body).not.toHaveProperty('room_version')
    const allowed = await makeKnock(stage.service, person('lee', stage.neighbour.identity), guarded)
    expect(allowed.status).toBe(200)
  })

  it('E2 row 7: a user of another server is 403', async () => {
    const path = makeKnockPath(named(full, '10').roomId, '@kim:elsewhere.example', '10')
    const answer = await signedRequest(stage.service, stage.remote.identity, 'GET', path)
    expect(answer).toMatchObject(refusal(403, 'M_FORBIDDEN'))
  })

  it.each([['9'], ['1', '010', '10.0', '1 0'], ['7,10']])(
    'E2 row 8: offering %j to a room of version 10 is 400',
    async (...offered) => {
      const answer = await makeKnock(stage.service, stage.knocker('new'), named(full, '10'), offered)
      expect(answer).toMatchObject(refusal(400, 'M_INCOMPATIBLE_ROOM_VERSION'))
      expect(answer.body.room_version).toBe('10')
    },
  )

  it('E2 row 10: a room of version 6 cannot be knocked on', async () => {
    expect(await makeKnock(stage.service, stage.knocker('new'), old)).toMatchObject(refusal(403, 'M_FORBIDDEN'))
  })

  it('E2 row 11: a join rule that is not for knocking is 403', async () => {
    expect(await makeKnock(stage.service, stage.knocker('new'), closed)).toMatchObject(refusal(403, 'M_FORBIDDEN'))
  })

  it('E4 the depth is one more than the deepest, and never beyond 2^53 - 1', async () => {
    const { body } = await makeKnock(stage.service, stage.knocker('new'), deep)
    expect(deep.tip.pdu.depth).toBe(Number.MAX_SAFE_INTEGER)
    expect((body.event as JsonRecord).depth).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('E5 ver may be repeated, and names of no version of ours are let be', async () => {
    const offered = ['1', 'org.matrix.msc3757.10', '11', '10', '10']
    const answer = await makeKnock(stage.service, stage.knocker('new'), named(full, '10'), offered)
    expect(answer.status).toBe(200)
  })
})
