import { afterEach, describe, expect, it } from 'vitest'
import type { UserId } from '../../src/matrix/identifiers.ts'
import { ALICE, BOB, CAROL, HERE, REMOTE, usualRoom } from '../knock/stage.ts'
import { knockEvent } from '../support/remote-knocker.ts'
import type { Character } from '../support/resident-answers.ts'
import { clientEvent } from '../support/resident-rooms.ts'
import { bans, continueRoom, joinRule, person, says, type TestRoom } from '../support/test-room.ts'
import { type Beside, beside, knockToHandOver } from './beside.ts'

let world: Beside
afterEach(() => world.close())

async function open(character: Character, ...more: readonly TestRoom[]): Promise<TestRoom> {
  world = await beside({ character, localUsers: [ALICE.id as UserId] })
  const room = usualRoom('11', [says(ALICE, 'hello')])
  world.resident.has([room, ...more])
  return room
}

const unseen = {
  kind: 'unknown',
  reason: 'the homeserver took the transaction, but the knock was not seen in the room',
}

describe.each<Character>(['synapse', 'dendrite'])('a knock handed to %s', (character) => {
  it('is accepted once the homeserver builds on it', async () => {
    const room = await open(character)
    expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({ kind: 'accepted' })
    expect(world.resident.count('state_ids')).toBe(0)
  })

  it('is accepted where it is in the state, though something came after it', async () => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    world.resident.fails('held', 'send')
    const handing = world.handOver(room, knock)
    await expect.poll(() => world.resident.verdicts).toEqual(['accepted'])
    world.resident.happens(room.roomId, says(ALICE, 'who is that?'))
    world.resident.happens(room.roomId, says(BOB, 'nobody'))
    world.resident.heals()
    expect(await handing).toEqual({ kind: 'accepted' })
    expect(world.resident.count('state_ids')).toBe(1)
  })

  it('is accepted where it is in the state of the last of many branches', async () => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    const others = ['a', 'b', 'c', 'd'].map((body) => continueRoom(room, [says(BOB, body)])) as [TestRoom]
    world.resident.fails('held', 'send')
    const handing = world.handOver(room, knock)
    await expect.poll(() => world.resident.verdicts).toEqual(['accepted'])
    const knocked = continueRoom(world.resident.rooms.get(room.roomId)?.resolved as TestRoom, [says(ALICE, 'so')])
    world.resident.has([...others, knocked], knocked)
    world.resident.heals()
    expect(await handing).toEqual({ kind: 'accepted' })
    expect(world.resident.count('state_ids')).toBe(5)
  })

  it('is accepted when the feed brings it back, whatever can be read', async () => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    world.resident.fails({ status: 503 }, 'make_leave')
    const handing = world.handOver(room, knock)
    await expect.poll(() => world.resident.count('make_leave')).toBeGreaterThan(0)
    world.homeserver.feed.take([clientEvent(room, knock)])
    expect(await handing).toEqual({ kind: 'accepted' })
  })

  it('is accepted when the feed is faster than the answer', async () => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    world.resident.fails({ status: 503 }, 'make_leave')
    world.resident.fails('held', 'send')
    const handing = world.handOver(room, knock)
    await expect.poll(() => world.resident.count('send')).toBe(1)
    world.homeserver.feed.take([clientEvent(room, knock)])
    world.resident.fails({ status: 503 }, 'make_leave')
    world.resident.heals()
    world.resident.fails({ status: 503 }, 'make_leave')
    expect(await handing).toEqual({ kind: 'accepted' })
  })

  it('is accepted for all who hand it over at once', async () => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    world.resident.fails({ status: 503 }, 'make_leave')
    const handing = [world.handOver(room, knock), world.handOver(room, knock)]
    await expect.poll(() => world.resident.count('send')).toBe(2)
    await expect.poll(() => world.resident.count('make_leave')).toBeGreaterThan(2)
    world.homeserver.feed.take([clientEvent(room, knock)])
    expect(await Promise.all(handing)).toEqual([{ kind: 'accepted' }, { kind: 'accepted' }])
  })

  it.each([
    ['a ban', bans(ALICE, CAROL)],
    ['another join rule', joinRule(ALICE, 'invite')],
  ] as const)('is not accepted where %s came after its template, and it failed softly', async (_what, line) => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    world.resident.happens(room.roomId, line)
    expect(await world.handOver(room, knock, 1_600)).toEqual(unseen)
    expect(world.resident.verdicts).toEqual(['soft-failed'])
    // The event itself is told, and its state too.
    expect(world.resident.count('event')).toBe(0)
  })

  it('is decided anew where it does not show and the room refuses it by now', async () => {
    const room = await open(character)
    world.resident.happens(room.roomId, bans(ALICE, CAROL))
    const started = Date.now()
    const knock = knockToHandOver(room, knockEvent(room, CAROL), world.now() + 20_000)
    const isRefusedNow = async (): Promise<boolean> => true
    expect(await world.homeserver.handover.handOver({ ...knock, isRefusedNow })).toEqual({ kind: 'overtaken' })
    expect(Date.now() - started).toBeGreaterThan(1_900)
    expect(Date.now() - started).toBeLessThan(10_000)
  })

  it('is accepted when it shows late, whatever the room says meanwhile', async () => {
    const room = await open(character)
    world.resident.fails({ status: 503 }, 'make_leave')
    const knock = knockEvent(room, CAROL)
    const isRefusedNow = () => new Promise<boolean>(() => undefined)
    const handing = world.homeserver.handover.handOver({
      ...knockToHandOver(room, knock, world.now() + 10_000),
      isRefusedNow: () => {
        world.homeserver.feed.take([clientEvent(room, knock)])
        return isRefusedNow()
      },
    })
    expect(await handing).toEqual({ kind: 'accepted' })
  })

  it('is not accepted where the homeserver rejected it', async () => {
    const room = await open(character)
    const banned = world.resident.happens(room.roomId, bans(ALICE, CAROL))
    expect(await world.handOver(banned, knockEvent(banned, CAROL), 1_600)).toEqual(unseen)
    expect(world.resident.verdicts).toEqual(['rejected'])
  })
})

describe('the feed of Synapse', () => {
  it('is no proof where it tells of a knock that failed softly', async () => {
    const room = await open('synapse')
    const knock = knockEvent(room, CAROL)
    world.resident.happens(room.roomId, bans(ALICE, CAROL))
    const handing = world.handOver(room, knock, 1_600)
    await expect.poll(() => world.resident.count('make_leave')).toBeGreaterThan(0)
    world.homeserver.feed.take([clientEvent(room, knock, { 'io.element.synapse.soft_failed': true })])
    expect(await handing).toEqual(unseen)
  })

  it('is no proof of another knock', async () => {
    const room = await open('synapse')
    const knock = knockEvent(room, CAROL)
    const other = knockEvent(room, person('dan', REMOTE))
    world.resident.fails({ status: 503 }, 'make_leave')
    const handing = world.handOver(room, knock, 1_600)
    world.homeserver.feed.take([clientEvent(room, other)])
    expect(await handing).toEqual(unseen)
  })
})

describe('handing over by a transaction', () => {
  it('sends one at a time, each under an id of its own, as the homeserver itself', async () => {
    const room = await open('synapse')
    world.resident.transactionMs = 20
    const knocks = Array.from({ length: 6 }, (_, at) => knockEvent(room, person(`guest${at}`, REMOTE)))
    const outcomes = await Promise.all(knocks.map((knock) => world.handOver(room, knock)))
    expect(outcomes).toEqual(knocks.map(() => ({ kind: 'accepted' })))
    expect(world.resident.mostTransactions).toBe(1)
    const sent = world.resident.requests.filter(({ call }) => call === 'send')
    expect(new Set(sent.map(({ uri }) => uri)).size).toBe(6)
    const bodies = sent.map(({ body }) => JSON.parse(body.toString()))
    expect(bodies[0]).toEqual({ origin: HERE.name, origin_server_ts: expect.any(Number), pdus: [knocks[0]?.pdu] })
  })

  it('takes a knock that came before for accepted', async () => {
    const room = await open('dendrite')
    const knock = knockEvent(room, CAROL)
    expect(await world.handOver(room, knock)).toEqual({ kind: 'accepted' })
    expect(await world.handOver(room, knock)).toEqual({ kind: 'accepted' })
    expect(world.resident.verdicts).toEqual(['accepted', 'seen before'])
  })

  it('is accepted where its answer was lost, and it shows', async () => {
    const room = await open('dendrite')
    world.resident.fails('close', 'send')
    expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({ kind: 'accepted' })
  })

  it('settles a knock whose answer was lost when it is tried again', async () => {
    const room = await open('dendrite')
    const knock = knockEvent(room, CAROL)
    world.resident.fails('close', 'send')
    world.resident.fails({ status: 503 }, 'make_leave')
    expect(await world.handOver(room, knock)).toEqual({ kind: 'unknown', reason: 'send: UND_ERR_SOCKET' })
    world.resident.heals()
    expect(await world.handOver(room, knock)).toEqual({ kind: 'accepted' })
    expect(world.resident.verdicts).toEqual(['accepted', 'seen before'])
  })

  it('is refused where the homeserver says that it dropped the event', async () => {
    const room = await open('synapse')
    const knock = knockEvent(room, CAROL)
    const error = { error: 'ERROR 403: unable to verify signature' }
    world.resident.fails({ status: 200, body: { pdus: { [knock.eventId]: error } } }, 'send')
    expect(await world.handOver(room, knock)).toMatchObject({
      kind: 'refused',
      refusal: { status: 403, errcode: 'M_FORBIDDEN', rule: 'handover: send' },
    })
    expect(world.resident.count('make_leave')).toBe(0)
  })

  it('is sent again while the homeserver works on another transaction', async () => {
    const room = await open('synapse')
    world.resident.fails({ status: 429 }, 'send')
    const handing = world.handOver(room, knockEvent(room, CAROL))
    await expect.poll(() => world.resident.count('send')).toBeGreaterThan(1)
    world.resident.heals()
    expect(await handing).toEqual({ kind: 'accepted' })
    const sent = world.resident.requests.filter(({ call }) => call === 'send').map(({ uri }) => uri)
    expect(new Set(sent).size).toBe(sent.length)
  })

  it('is of unknown outcome where that lasts until the deadline', async () => {
    const room = await open('synapse')
    world.resident.fails({ status: 429 }, 'send')
    const outcome = await world.handOver(room, knockEvent(room, CAROL), 2_500)
    expect(outcome).toEqual({ kind: 'unknown', reason: expect.stringMatching(/^send/) })
  })

  it.each([401, 403, 404, 500, 503])('is of unknown outcome where the homeserver answers %i', async (status) => {
    const room = await open('synapse')
    world.resident.fails({ status }, 'send')
    expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({
      kind: 'unknown',
      reason: `send answers ${status}`,
    })
    world.resident.heals()
    expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({ kind: 'accepted' })
  })

  it('is of unknown outcome where nothing comes by the deadline, and the next has its turn', async () => {
    const room = await open('synapse')
    world.resident.happens(room.roomId, bans(ALICE, CAROL))
    world.resident.fails('hang', 'send')
    const outcome = await world.handOver(room, knockEvent(room, CAROL), 1_300)
    expect(outcome).toEqual({ kind: 'unknown', reason: 'send: no answer in time' })
    world.resident.heals()
    expect(await world.handOver(room, knockEvent(room, person('dan', REMOTE)))).toEqual({ kind: 'accepted' })
  })

  it('has half of the time for the transaction where there is little', async () => {
    const room = await open('dendrite')
    expect(await world.handOver(room, knockEvent(room, CAROL), 900)).toEqual({ kind: 'accepted' })
  })

  it('is of unknown outcome where its turn does not come', async () => {
    const room = await open('synapse')
    world.resident.fails('hang', 'send')
    const first = world.handOver(room, knockEvent(room, CAROL), 4_000)
    await expect.poll(() => world.resident.count('send')).toBe(1)
    const second = await world.handOver(room, knockEvent(room, person('dan', REMOTE)), 1_200)
    expect(second).toEqual({ kind: 'unknown', reason: 'too many knocks wait for the homeserver' })
    await first
    expect(world.resident.count('send')).toBe(1)
  })
})
