import { describe, expect, it } from 'vitest'
import { createKnockLimits, type Knocker } from '../../src/knock/limits.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'

const alice: Knocker = {
  origin: 'remote.test' as ServerName,
  userId: '@alice:remote.test' as UserId,
  roomId: '!a:here.test' as RoomId,
}
const bob: Knocker = { ...alice, userId: '@bob:remote.test' as UserId, roomId: '!b:here.test' as RoomId }

let events = 0
const another = () => `$${events++}` as EventId

describe('limits on knocks', () => {
  it('lets everyone through where no limit is configured', () => {
    const limits = createKnockLimits({}, () => 0)
    for (let knock = 0; knock < 100; knock++) limits.reserve(alice, another())
    expect(limits.check(alice)).toBeUndefined()
  })

  it('answers 403 and never 429 once a user has knocked as often as allowed, and forgets in time', () => {
    let now = 1_000_000
    const limits = createKnockLimits({ perUser: { knocks: 2, perSeconds: 60 } }, () => now)
    limits.reserve(alice, another())
    expect(limits.check(alice)).toBeUndefined()
    now += 30_000
    limits.reserve(alice, another())
    expect(limits.check(alice)).toMatchObject({ status: 403, errcode: 'M_FORBIDDEN', rule: 'limits.per_user' })
    expect(limits.check(bob)).toBeUndefined()
    now += 29_999
    expect(limits.check(alice)).toBeDefined()
    now += 1
    expect(limits.check(alice)).toBeUndefined()
  })

  it('forgets what was counted by a clock that has been set back since', () => {
    let now = 1_000_000_000
    const limits = createKnockLimits({ perUser: { knocks: 1, perSeconds: 60 } }, () => now)
    limits.reserve(alice, another())
    now -= 86_400_000
    expect(limits.check(alice)).toBeUndefined()
    limits.reserve(alice, another())
    expect(limits.check(alice)).toMatchObject({ rule: 'limits.per_user' })
  })

  it('counts rooms and servers by themselves', () => {
    const perRoom = createKnockLimits({ perRoom: { knocks: 1, perSeconds: 1 } }, () => 0)
    perRoom.reserve(alice, another())
    expect(perRoom.check({ ...bob, roomId: alice.roomId })).toMatchObject({ rule: 'limits.per_room' })
    expect(perRoom.check(bob)).toBeUndefined()

    const perServer = createKnockLimits({ perServer: { knocks: 1, perSeconds: 1 } }, () => 0)
    perServer.reserve(alice, another())
    expect(perServer.check(bob)).toMatchObject({ rule: 'limits.per_server' })
    expect(perServer.check({ ...bob, origin: 'other.test' as ServerName })).toBeUndefined()
  })

  it('counts a knock from its reservation on, and no more when that is released', () => {
    const limits = createKnockLimits({ perUser: { knocks: 1, perSeconds: 60 } }, () => 0)
    const reserved = limits.reserve(alice, another())
    expect(limits.reserve(alice, another())).toMatchObject({ ok: false, status: 403, rule: 'limits.per_user' })
    if (reserved.ok) reserved.release()
    expect(limits.reserve(alice, another())).toMatchObject({ ok: true })
  })

  it('does not count what is only checked', () => {
    const limits = createKnockLimits({ perUser: { knocks: 1, perSeconds: 60 } }, () => 0)
    for (let check = 0; check < 10; check++) expect(limits.check(alice)).toBeUndefined()
  })

  it('counts a server once, whatever the spelling of its name and its ports', () => {
    const limits = createKnockLimits({ perServer: { knocks: 1, perSeconds: 1 } }, () => 0)
    limits.reserve(alice, another())
    for (const origin of ['remote.test.', 'REMOTE.test', 'remote.test:8448', 'remote.test.:08448']) {
      expect(limits.check({ ...bob, origin: origin as ServerName }), origin).toMatchObject({
        rule: 'limits.per_server',
      })
    }
    limits.reserve({ ...bob, origin: '[::1]' as ServerName }, another())
    const loopback = { ...bob, origin: '[0:0:0:0:0:0:0:1]:80' as ServerName }
    expect(limits.check(loopback)).toMatchObject({ rule: 'limits.per_server' })
  })

  it('lets a repeat through and does not count it, unless the knock was released meanwhile', () => {
    const limits = createKnockLimits({ perUser: { knocks: 1, perSeconds: 60 } }, () => 0)
    const event = another()
    const first = limits.reserve(alice, event)
    const second = limits.reserve(alice, event)
    expect([first.ok, second.ok]).toEqual([true, true])
    if (first.ok) first.release()
    expect(limits.check(alice)).toBeDefined()
    if (second.ok) second.release()
    expect(limits.check(alice)).toBeUndefined()
    limits.reserve(alice, another())
    expect(limits.reserve(alice, event)).toMatchObject({ ok: false })
  })

  it('keeps no more of many knocks than of a few, and lets in no more than the limit in any span', () => {
    let now = 1_000_000
    const limits = createKnockLimits({ perServer: { knocks: 1_000, perSeconds: 3_600 } }, () => now)
    const accepted: number[] = []
    for (let knock = 0; knock < 10_000; knock++) {
      now += 997
      if (limits.reserve(alice, another()).ok) accepted.push(now)
    }
    for (const [at, time] of accepted.entries()) {
      const before = accepted[at - 1_000]
      if (before !== undefined) expect(time - before).toBeGreaterThanOrEqual(3_600_000)
    }
    // Within a 64th of the span what it could be at most.
    expect(accepted.length).toBeGreaterThanOrEqual(2_900)
  })
})
