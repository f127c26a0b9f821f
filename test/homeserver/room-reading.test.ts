import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RoomId, UserId } from '../../src/matrix/identifiers.ts'
import { ALICE, BOB, CAROL, HERE, usualRoom } from '../knock/stage.ts'
import { KNOCKABLE_VERSIONS } from '../support/events.ts'
import type { Character } from '../support/resident-answers.ts'
import type { JsonRecord } from '../support/signing.ts'
import {
  bans,
  buildRoom,
  continueRoom,
  invites,
  joinRule,
  joins,
  kicks,
  leaves,
  opening,
  person,
  says,
  sets,
  type TestRoom,
} from '../support/test-room.ts'
import { type Beside, beside } from './beside.ts'

/** Longer than it is remembered that a room cannot be read. */
const REMEMBERED_MS = 20_000

describe.each<Character>(['synapse', 'dendrite'])('reading a room from %s', (character) => {
  let world: Beside
  beforeEach(async () => {
    world = await beside({ character, localUsers: [ALICE.id as UserId] })
  })
  afterEach(() => world.close())

  const fresh = { kind: 'fresh', ageMs: expect.any(Number) }

  it.each(KNOCKABLE_VERSIONS)('gives its state after the last event, version %s', async (version) => {
    const room = usualRoom(version, [sets(ALICE, 'm.room.topic', { topic: 'Seeds' }), bans(ALICE, CAROL)])
    world.resident.has([room])
    expect(await world.refresh(room)).toEqual(fresh)
    expect(await world.stored(room, 'm.room.topic')).toBe(room.state('m.room.topic')?.eventId)
    expect(await world.stored(room, 'm.room.member', CAROL.id)).toBe(room.tip.eventId)
    expect(await world.extremities(room)).toEqual([room.tip.eventId])
    expect(world.resident.requests.map(({ call }) => call)).toEqual(['make_leave', 'event', 'state'])
  })

  it.each([
    ['is no state', [says(ALICE, 'hello')]],
    ['is the first of its kind', [sets(ALICE, 'm.room.topic', { topic: 'Seeds' })]],
    ['replaces what decides', [joinRule(ALICE, 'invite')]],
    ['lets nobody else of ours be known', [joins(person('lee', HERE))]],
  ] as const)('is the same before and after an event that %s', async (_what, story) => {
    const room = usualRoom('11', story)
    world.resident.has([room])
    expect(await world.refresh(room)).toEqual(fresh)
    const stored = await Promise.all(
      ['m.room.join_rules', 'm.room.topic', 'm.room.create'].map((type) => world.stored(room, type)),
    )
    const types = ['m.room.join_rules', 'm.room.topic', 'm.room.create']
    expect(stored).toEqual(types.map((type) => room.state(type)?.eventId))
    const summary = await world.store.roomSummary(room.roomId as never)
    const members = room.timeline.filter(({ pdu }) => (pdu.content as JsonRecord).membership === 'join')
    expect(summary?.members).toBe(members.length)
  })

  describe('with two last events', () => {
    const base = usualRoom('11', [joins(person('lee', HERE))])
    const branch = (...story: Parameters<typeof continueRoom>[1]): TestRoom => continueRoom(base, story)
    const quiet = branch(says(BOB, 'I know of nothing'))

    async function readBoth(left: TestRoom, right: TestRoom, resolved?: TestRoom): Promise<readonly unknown[]> {
      const kinds: unknown[] = []
      for (const branches of [
        [left, right],
        [right, left],
      ] as const) {
        world.resident.has(branches, resolved)
        const { kind } = await world.refresh(base)
        kinds.push(kind)
        world.homeserver.feed.interrupted()
        world.pass(100_000)
      }
      return kinds
    }

    const valueIn = async (type: string, left: TestRoom, right: TestRoom, resolved?: TestRoom): Promise<unknown[]> => {
      const found: unknown[] = []
      for (const branches of [
        [left, right],
        [right, left],
      ] as const) {
        world.resident.has(branches, resolved)
        expect(await world.refresh(base)).toEqual(fresh)
        found.push(await world.stored(base, ...(type.split('|') as [string])))
        world.pass(100_000)
      }
      return found
    }

    it('comes after both of them', async () => {
      const said = branch(says(ALICE, 'and I neither'))
      world.resident.has([quiet, said])
      expect(await world.refresh(base)).toEqual(fresh)
      expect(await world.extremities(base)).toEqual([quiet.tip.eventId, said.tip.eventId].sort())
      expect(await world.stored(base, 'm.room.join_rules')).toBe(base.state('m.room.join_rules')?.eventId)
    })

    it('takes the join rule that was resolved, whichever branch is named first', async () => {
      const open = branch(joinRule(ALICE, 'public'))
      const closed = branch(joinRule(ALICE, 'invite'))
      for (const [resolved, other] of [
        [open, closed],
        [closed, open],
      ] as const) {
        const rule = resolved.tip.eventId
        expect(await valueIn('m.room.join_rules', resolved, other, resolved)).toEqual([rule, rule])
      }
    })

    it('takes the older rule where state resolution chose that', async () => {
      const open = branch(joinRule(ALICE, 'public'))
      const old = base.state('m.room.join_rules')?.eventId
      expect(await valueIn('m.room.join_rules', open, quiet, quiet)).toEqual([old, old])
    })

    it('takes the rule by which nobody knocks where nothing tells which was resolved', async () => {
      world.resident.joinsRefused = true
      const closed = branch(joinRule(ALICE, 'invite'))
      const open = branch(joinRule(ALICE, 'knock'), says(ALICE, 'come in'))
      const rule = closed.tip.eventId
      expect(await valueIn('m.room.join_rules', open, closed, open)).toEqual([rule, rule])
    })

    it('lets people knock where every branch does, by another event', async () => {
      world.resident.joinsRefused = true
      const again = branch(joinRule(ALICE, 'knock'))
      const restricted = branch(sets(ALICE, 'm.room.join_rules', { join_rule: 'knock_restricted', allow: [] }))
      const rules = await valueIn('m.room.join_rules', again, restricted, again)
      expect(rules).toEqual([restricted.tip.eventId, restricted.tip.eventId])
    })

    it.each([
      ['a ban', bans(ALICE, CAROL)],
      ['an invitation', invites(ALICE, CAROL)],
    ] as const)('takes %s that one branch alone knows', async (_what, line) => {
      const told = branch(line)
      const slot = `m.room.member|${CAROL.id}`
      const event = told.tip.eventId
      expect(await valueIn(slot, told, quiet, quiet)).toEqual([event, event])
      const buried = branch(line, says(ALICE, 'so'))
      const before = buried.state('m.room.member', CAROL.id)?.eventId
      expect(await valueIn(slot, buried, quiet, quiet)).toEqual([before, before])
    })

    it('takes the stricter of two memberships', async () => {
      const banned = branch(bans(ALICE, BOB))
      const gone = branch(leaves(BOB))
      const kicked = branch(kicks(ALICE, BOB), says(ALICE, 'bye'))
      const event = banned.tip.eventId
      expect(await valueIn(`m.room.member|${BOB.id}`, banned, gone, gone)).toEqual([event, event])
      expect(await valueIn(`m.room.member|${BOB.id}`, kicked, banned, kicked)).toEqual([event, event])
    })

    it('takes the newer of two topics', async () => {
      const older = branch(sets(ALICE, 'm.room.topic', { topic: 'Seeds' }))
      const newer = branch(says(ALICE, 'wait'), sets(ALICE, 'm.room.topic', { topic: 'Leaves' }))
      const event = newer.tip.eventId
      expect(await valueIn('m.room.topic', older, newer)).toEqual([event, event])
    })

    it.each([
      ['server ACLs', 'm.room.server_acl', { allow: ['*'] }, { allow: ['*'], deny: ['remote.test'] }],
      ['policy servers', 'm.room.policy', { via: 'one.test' }, { via: 'two.test' }],
    ])('takes the %s of every branch', async (_what, type, first, second) => {
      const left = branch(sets(ALICE, type, first))
      const right = branch(sets(ALICE, type, second), says(ALICE, 'so'))
      const both = [left.tip.eventId, String(right.state(type)?.eventId)].sort()
      for (const branches of [
        [left, right],
        [right, left],
      ] as const) {
        world.resident.has(branches)
        expect(await world.refresh(base)).toEqual(fresh)
        expect(await world.storedAll(base, type)).toEqual(both)
        world.pass(100_000)
      }
    })

    it.each([
      ['a server ACL', 'm.room.server_acl', { allow: ['*'] }],
      ['a policy server', 'm.room.policy', { via: 'one.test' }],
    ])('takes %s that one branch alone has', async (_what, type, content) => {
      const told = branch(sets(ALICE, type, content))
      const buried = branch(sets(ALICE, type, content), says(ALICE, 'so'))
      expect(await valueIn(type, told, quiet)).toEqual([told.tip.eventId, told.tip.eventId])
      const id = buried.state(type)?.eventId
      expect(await valueIn(type, buried, quiet)).toEqual([id, id])
    })

    it('has no join rule where one branch has none and nothing tells what was resolved', async () => {
      world.resident.joinsRefused = true
      const early = buildRoom('11', ALICE, [joins(ALICE)])
      const ruled = continueRoom(early, [joinRule(ALICE, 'knock'), says(ALICE, 'come in')])
      const unruled = continueRoom(early, [says(ALICE, 'nothing yet')])
      for (const branches of [
        [ruled, unruled],
        [unruled, ruled],
      ] as const) {
        world.resident.has(branches)
        expect(await world.refresh(early)).toEqual(fresh)
        expect(await world.stored(early, 'm.room.join_rules')).toBeUndefined()
        world.pass(100_000)
      }
    })

    it('says nothing of a room whose branches differ in hundreds of events', async () => {
      const crowd = Array.from({ length: 201 }, (_, at) => joins(person(`guest${at}`, HERE)))
      const full = branch(joinRule(ALICE, 'public'), ...crowd)
      expect(await readBoth(full, quiet)).toEqual(['unavailable', 'unavailable'])
      expect(world.failures[0]).toBe('the branches of the room differ too much')
    })
  })

  it('H5 finds nothing where the homeserver does not know the room, or has left it', async () => {
    const room = usualRoom()
    expect(await world.refresh(room)).toEqual({ kind: 'absent' })
    const left = usualRoom('11', [says(ALICE, 'bye')])
    world.resident.has([left])
    world.resident.leaves(left.roomId)
    world.pass(100_000)
    expect(await world.refresh(left)).toEqual({ kind: 'absent' })
    expect(world.failures).toEqual([])
    expect(world.read).toEqual([])
  })

  it('does not take a homeserver that is out of order for one without the room', async () => {
    const room = usualRoom()
    world.resident.has([room])
    for (const status of [500, 502, 401, 429]) {
      world.resident.fails({ status }, 'make_leave')
      expect(await world.refresh(room)).toMatchObject({ kind: 'unavailable' })
      world.pass(REMEMBERED_MS)
    }
    expect(world.failures[0]).toBe('make_leave answers 500 M_UNKNOWN')
    expect(world.resident.count('backfill')).toBe(1)
    world.resident.heals()
    expect(await world.refresh(room)).toEqual(fresh)
  })

  it.each<[string, Parameters<Beside['resident']['fails']>[0], string, ('make_leave' | 'event' | 'state')[]]>([
    ['closes the connection', 'close', 'UND_ERR_SOCKET', ['make_leave', 'event', 'state']],
    ['answers 502', { status: 502 }, 'answers 502', ['event', 'state']],
    ['answers garbage', { status: 200, text: '<html>' }, '', ['make_leave', 'event', 'state']],
    ['answers with an empty object', { status: 200, body: {} }, '', ['make_leave', 'event', 'state']],
    ['breaks off', 'half', '', ['make_leave', 'event', 'state']],
  ])('says nothing of a room while the homeserver %s, and recovers', async (_what, fault, reason, calls) => {
    const room = usualRoom()
    world.resident.has([room])
    for (const call of calls) {
      world.resident.fails(fault, call)
      expect(await world.refresh(room)).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining(reason) })
      expect(await world.store.roomSummary(room.roomId as never)).toBeUndefined()
      world.resident.heals()
      world.pass(REMEMBERED_MS)
    }
    expect(world.failures).toHaveLength(calls.length)
    expect(await world.refresh(room)).toEqual(fresh)
  })

  it('H4 discards an event that is not the one it asked for', async () => {
    const room = usualRoom('11', [joinRule(ALICE, 'invite')])
    world.resident.has([room])
    const other = room.timeline[3]?.pdu as JsonRecord
    world.resident.fails({ alter: () => ({ pdus: [other] }) }, 'event')
    expect(await world.refresh(room)).toMatchObject({ kind: 'unavailable' })
    expect(world.failures[0]).toMatch(/none of its last events can be used: event \$.*: what was given is \$/)
  })

  it('H4 discards a state without a create event, and keeps what it knew', async () => {
    const room = usualRoom('11', [says(ALICE, 'hello')])
    world.resident.has([room])
    expect(await world.refresh(room)).toEqual(fresh)
    const changed = world.resident.happens(room.roomId, sets(ALICE, 'm.room.topic', { topic: 'Seeds' }))
    world.pass(100_000)
    world.resident.fails({ alter: withState((pdus) => pdus.filter(({ type }) => type !== 'm.room.create')) }, 'state')
    expect(await world.refresh(room)).toMatchObject({
      kind: 'unavailable',
      reason: expect.stringContaining('no m.room.create'),
    })
    expect(await world.stored(room, 'm.room.topic')).toBeUndefined()
    world.resident.heals()
    world.pass(REMEMBERED_MS)
    expect(await world.refresh(room)).toEqual(fresh)
    expect(await world.stored(room, 'm.room.topic')).toBe(changed.tip.eventId)
  })

  it('H4 takes an event whose hash does not hold in its redacted form', async () => {
    const room = usualRoom('11', [says(ALICE, 'hello')])
    world.resident.has([room])
    const noted = (pdu: JsonRecord) => ({ ...pdu, content: { ...(pdu.content as JsonRecord), note: 'changed' } })
    world.resident.fails({ alter: withState((pdus) => pdus.map((pdu) => (isRule(pdu) ? noted(pdu) : pdu))) }, 'state')
    expect(await world.refresh(room)).toEqual(fresh)
    const rule = (await world.store.readFacts(room.roomId as RoomId))?.state.find(({ pdu }) => isRule(pdu as never))
    expect(rule?.eventId).toBe(room.state('m.room.join_rules')?.eventId)
    expect(rule?.pdu.content).toEqual({ join_rule: 'knock' })
  })

  it('H4 does not take an event of another room, and asks nobody whose signature it is', async () => {
    const room = usualRoom('11', [says(ALICE, 'hello')])
    world.resident.has([room])
    const alter = withState((pdus) => [...pdus.map((pdu) => (isRule(pdu) ? forged(pdu) : pdu)), elsewhere().tip.pdu])
    world.resident.fails({ alter }, 'state')
    expect(await world.refresh(room)).toEqual(fresh)
    expect(await world.stored(room, 'm.room.join_rules')).toBe(room.state('m.room.join_rules')?.eventId)
  })
})

function withState(change: (pdus: readonly JsonRecord[]) => readonly JsonRecord[]): (body: JsonRecord) => JsonRecord {
  return (body) => ({ ...body, pdus: change(body.pdus as JsonRecord[]) })
}

function isRule({ type }: JsonRecord): boolean {
  return type === 'm.room.join_rules'
}

function elsewhere(): TestRoom {
  return buildRoom('11', BOB, [joins(BOB), joins(ALICE), sets(BOB, 'org.example', {})])
}

/** Signed by another key under the same name. */
function forged(pdu: JsonRecord): JsonRecord {
  const [[server, keys]] = Object.entries(pdu.signatures as JsonRecord) as [[string, JsonRecord]]
  const [[keyId, signature]] = Object.entries(keys) as [[string, string]]
  const flipped = `${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`
  return { ...pdu, signatures: { [server]: { [keyId]: flipped } } }
}

describe('finding a local user', () => {
  let world: Beside
  beforeEach(async () => {
    world = await beside()
  })
  afterEach(() => world.close())

  it('asks Synapse for a last event where nobody is known, and reads who is joined', async () => {
    const room = usualRoom('11', [joins(person('lee', HERE)), leaves(person('lee', HERE)), says(BOB, 'hello')])
    world.resident.has([room])
    expect(await world.refresh(room)).toMatchObject({ kind: 'fresh' })
    expect(world.resident.count('timestamp_to_event')).toBe(1)
    world.pass(100_000)
    expect(await world.refresh(room)).toMatchObject({ kind: 'fresh' })
    expect(world.resident.count('timestamp_to_event')).toBe(1)
  })

  it('finds the user whose coming is the last event', async () => {
    const room = buildRoom('11', BOB, [...opening(BOB, '11', 'public'), joins(person('lee', HERE))])
    world.resident.has([room])
    expect(await world.refresh(room)).toMatchObject({ kind: 'fresh' })
  })

  it('finds another where the last event is that the first left', async () => {
    const [lee, kim] = [person('lee', HERE), person('kim', HERE)]
    const room = buildRoom('11', BOB, [...opening(BOB, '11', 'public'), joins(lee), joins(kim), leaves(lee)])
    world.resident.has([room])
    expect(await world.refresh(room)).toMatchObject({ kind: 'fresh' })
    expect(world.resident.requests.some(({ uri }) => uri.includes('make_leave') && uri.includes('lee'))).toBe(false)
  })

  it('tries five at most of those who seem to be joined', async () => {
    const people = Array.from({ length: 8 }, (_, at) => person(`user${at}`, HERE))
    const room = buildRoom('11', BOB, [...opening(BOB, '11', 'public'), ...people.map(joins), says(BOB, 'hello')])
    world.resident.has([room])
    world.resident.fails({ status: 403 }, 'make_leave')
    expect(await world.refresh(room)).toEqual({ kind: 'absent' })
    expect(world.resident.count('make_leave')).toBe(1 + 5)
  })

  it('asks Dendrite for the leave of any local name', async () => {
    world.resident.character = 'dendrite'
    const room = usualRoom('11', [says(BOB, 'hello')])
    world.resident.has([room])
    expect(await world.refresh(room)).toMatchObject({ kind: 'fresh' })
    expect(world.resident.count('timestamp_to_event')).toBe(0)
  })

  it('finds nobody in a room of others', async () => {
    const room = buildRoom('11', BOB, [joins(BOB), says(BOB, 'alone')])
    world.resident.has([room])
    expect(await world.refresh(room)).toEqual({ kind: 'absent' })
  })

  it.each(['hang', 'close', 'half'] as const)('finds nobody where the search ends with %s', async (fault) => {
    const room = usualRoom('11', [says(BOB, 'hello')])
    world.resident.has([room])
    world.resident.fails(fault, 'state')
    const answer = await world.refresh(room, 500)
    expect(['absent', 'unavailable']).toContain(answer.kind)
  })

  it('tries each user who is configured', async () => {
    await world.close()
    const users = [person('gone', HERE), ALICE].map(({ id }) => id as UserId)
    world = await beside({ localUsers: users })
    const room = usualRoom('11', [says(BOB, 'hello')])
    world.resident.has([room])
    expect(await world.refresh(room)).toMatchObject({ kind: 'fresh' })
    expect(world.resident.requests.map(({ call }) => call)).toEqual(['make_leave', 'make_leave', 'event', 'state'])
  })
})
