import { describe, expect, it } from 'vitest'
import { createKnockPolicy, type Knocker } from '../../src/knock/policy.ts'
import type { RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'

const alice: Knocker = {
  origin: 'remote.test' as ServerName,
  userId: '@alice:remote.test' as UserId,
  roomId: '!a:here.test' as RoomId,
}
const bob: Knocker = { ...alice, userId: '@bob:remote.test' as UserId, roomId: '!b:here.test' as RoomId }

describe('knock policy', () => {
  it('lets everyone through where no limit is configured', () => {
    const policy = createKnockPolicy({}, () => 0)
    for (let knock = 0; knock < 100; knock++) policy.reserve(alice)
    expect(policy.check(alice)).toBeUndefined()
  })

  it('answers 403 and never 429 once a user has knocked as often as allowed, and forgets in time', () => {
    let now = 1_000_000
    const policy = createKnockPolicy({ perUser: { knocks: 2, perSeconds: 60 } }, () => now)
    policy.reserve(alice)
    expect(policy.check(alice)).toBeUndefined()
    now += 30_000
    policy.reserve(alice)
    expect(policy.check(alice)).toMatchObject({ status: 403, errcode: 'M_FORBIDDEN', rule: 'limits.per_user' })
    expect(policy.check(bob)).toBeUndefined()
    now += 29_999
    expect(policy.check(alice)).toBeDefined()
    now += 1
    expect(policy.check(alice)).toBeUndefined()
  })

  it('forgets what was counted by a clock that has been set back since', () => {
    let now = 1_000_000_000
    const policy = createKnockPolicy({ perUser: { knocks: 1, perSeconds: 60 } }, () => now)
    policy.reserve(alice)
    now -= 86_400_000
    expect(policy.check(alice)).toBeUndefined()
    policy.reserve(alice)
    expect(policy.check(alice)).toMatchObject({ rule: 'limits.per_user' })
  })

  it('counts rooms and servers by themselves', () => {
    const perRoom = createKnockPolicy({ perRoom: { knocks: 1, perSeconds: 1 } }, () => 0)
    perRoom.reserve(alice)
    expect(perRoom.check({ ...bob, roomId: alice.roomId })).toMatchObject({ rule: 'limits.per_room' })
    expect(perRoom.check(bob)).toBeUndefined()

    const perServer = createKnockPolicy({ perServer: { knocks: 1, perSeconds: 1 } }, () => 0)
    perServer.reserve(alice)
    expect(perServer.check(bob)).toMatchObject({ rule: 'limits.per_server' })
    expect(perServer.check({ ...bob, origin: 'other.test' as ServerName })).toBeUndefined()
  })

  it('counts a knock from its reservation on, and no more when that is released', () => {
    const policy = createKnockPolicy({ perUser: { knocks: 1, perSeconds: 60 } }, () => 0)
    const reserved = policy.reserve(alice)
    expect(policy.reserve(alice)).toMatchObject({ ok: false, status: 403, rule: 'limits.per_user' })
    if (reserved.ok) reserved.release()
    expect(policy.reserve(alice)).toMatchObject({ ok: true })
  })

  it('does not count what is only checked', () => {
    const policy = createKnockPolicy({ perUser: { knocks: 1, perSeconds: 60 } }, () => 0)
    for (let check = 0; check < 10; check++) expect(policy.check(alice)).toBeUndefined()
  })
})
