import { afterEach, describe, expect, it } from 'vitest'
import type { EventId, RoomId, UserId } from '../../src/matrix/identifiers.ts'
import { ALICE, BOB, CAROL, REMOTE, usualRoom } from '../knock/stage.ts'
import type { SignedEvent } from '../support/events.ts'
import { knockEvent } from '../support/remote-knocker.ts'
import type { Character } from '../support/resident-answers.ts'
import { clientEvent } from '../support/resident-rooms.ts'
import { bans, person, says, type TestRoom, withEvent } from '../support/test-room.ts'
import { type Beside, beside } from './beside.ts'

const DAN = person('dan', REMOTE)
const ERIN = person('erin', REMOTE)

let world: Beside
afterEach(() => world.close())

async function open(character: Character, localUsers = [ALICE.id as UserId]): Promise<TestRoom> {
  world = await beside({ character, localUsers })
  const room = usualRoom('11', [says(ALICE, 'hello')])
  world.resident.has([room])
  return room
}

function whichAreIn({ roomId }: TestRoom, ...events: readonly SignedEvent[]) {
  const ids = events.map(({ eventId }) => eventId as EventId)
  return world.homeserver.witness.whichAreIn(roomId as RoomId, ids, world.now() + 5_000)
}

const idsOf = (...events: readonly SignedEvent[]) => new Set(events.map(({ eventId }) => eventId))

describe.each<Character>(['synapse', 'dendrite'])('looking for knocks in a room of %s', (character) => {
  it('finds the one that the homeserver builds on, and those in the state', async () => {
    const room = await open(character)
    const [inState, atEnd, never] = [knockEvent(room, CAROL), knockEvent(room, DAN), knockEvent(room, ERIN)]
    world.resident.has([withEvent(withEvent(room, inState), atEnd)])
    expect(await whichAreIn(room, inState, atEnd, never)).toEqual(idsOf(inState, atEnd))
    expect(world.resident.count('state_ids')).toBe(1)
  })

  it('finds it as often as it is looked for', async () => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    world.resident.has([withEvent(room, knock)])
    world.resident.happens(room.roomId, says(BOB, 'who is that?'))
    for (let times = 0; times < 2; times++) expect(await whichAreIn(room, knock)).toEqual(idsOf(knock))
  })

  it('finds none that was left out of it', async () => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    world.resident.happens(room.roomId, bans(ALICE, CAROL))
    await world.handOver(room, knock, 1_500)
    expect(world.resident.verdicts).toEqual(['soft-failed'])
    expect(await whichAreIn(room, knock)).toEqual(new Set())
  })

  it('finds it in a room that nobody has asked for since the start', async () => {
    const room = await open(character, [])
    const knock = knockEvent(room, CAROL)
    world.resident.has([withEvent(room, knock)])
    expect(await whichAreIn(room, knock)).toEqual(idsOf(knock))
  })

  it('reads the state at an extremity once, for as long as the same knocks are looked for', async () => {
    const room = await open(character)
    const [knock, other] = [knockEvent(room, CAROL), knockEvent(room, DAN)]
    for (let times = 0; times < 3; times++) expect(await whichAreIn(room, knock)).toEqual(new Set())
    expect(world.resident.count('state_ids')).toBe(1)
    expect(await whichAreIn(room, knock, other)).toEqual(new Set())
    expect(world.resident.count('state_ids')).toBe(2)
    world.resident.has([withEvent(room, knock)])
    world.resident.happens(room.roomId, says(BOB, 'who is that?'))
    expect(await whichAreIn(room, knock, other)).toEqual(idsOf(knock))
  })

  it('says nothing while the homeserver does not answer', async () => {
    const room = await open(character)
    world.resident.fails({ status: 503 }, 'make_leave')
    expect(await whichAreIn(room, knockEvent(room, CAROL))).toBeUndefined()
  })

  it('finds none in a room that our server has left', async () => {
    const room = await open(character)
    world.resident.leaves(room.roomId)
    expect(await whichAreIn(room, knockEvent(room, CAROL))).toEqual(new Set())
  })

  it('takes the word of the feed, whatever can be read', async () => {
    const room = await open(character)
    const [knock, other] = [knockEvent(room, CAROL), knockEvent(room, DAN)]
    world.homeserver.feed.take([clientEvent(room, knock)])
    expect(await whichAreIn(room, knock)).toEqual(idsOf(knock))
    expect(world.resident.requests).toEqual([])
    world.resident.fails({ status: 503 }, 'make_leave')
    expect(await whichAreIn(room, knock, other)).toEqual(idsOf(knock))
    world.resident.heals()
    world.resident.has([withEvent(room, other)])
    expect(await whichAreIn(room, knock, other)).toEqual(idsOf(knock, other))
  })

  it('has a room read anew in which it found one: what came after the knock may be known here', async () => {
    const room = await open(character)
    const knock = knockEvent(room, CAROL)
    world.resident.has([withEvent(room, knock)])
    await world.refresh(room)
    await whichAreIn(room, knockEvent(room, DAN))
    await world.refresh(room)
    expect(world.read).toHaveLength(1)
    await whichAreIn(room, knock)
    await world.refresh(room)
    expect(world.read).toHaveLength(2)
  })
})

describe('the feed', () => {
  it('calls for a look at knocks that nobody has waited for, and at no others', async () => {
    const room = await open('synapse')
    let told = 0
    world.homeserver.witness.onTold(() => {
      told += 1
    })
    const [awaited, late] = [knockEvent(room, CAROL), knockEvent(room, DAN)]
    expect(await world.handOver(room, awaited)).toEqual({ kind: 'accepted' })
    world.homeserver.feed.take([clientEvent(room, awaited)])
    expect(told).toBe(0)
    world.homeserver.feed.take([clientEvent(room, late)])
    expect(told).toBe(1)
  })
})
