/** Knocks that are let in: who sees them. */
import { expect } from 'vitest'
import { type BesideRoom, good } from './beside-stage.ts'
import type { Play } from './play.ts'
import { knockAndSee, knocksIn } from './seeing-knocks.ts'
import { until } from './until.ts'

const CROWD = 20
const CROWD_SEEN_WITHIN_MS = 20_000

export const knocks = {
  async withReason(stage, kind) {
    return [await knockAndSee(stage, await stage.sharedRoom(kind), await stage.user(), 'let me in')]
  },

  async withoutReason(stage, kind) {
    return [await knockAndSee(stage, await stage.sharedRoom(kind), await stage.user())]
  },

  async again(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const user = await stage.user()
    const first = await knockAndSee(stage, room, user, 'let me in')
    const second = await knockAndSee(stage, room, user, 'please')
    expect(second).not.toBe(first)
    return [first, second]
  },

  async firstOnUnknownRoom(stage, kind) {
    const room = await stage.newRoom(kind)
    // What it was told of the room is gone.
    await stage.service.down()
    await stage.service.up()
    return [await knockAndSee(stage, room, await stage.user())]
  },

  async crowd(stage, kind) {
    const room = await stage.newRoom(kind)
    const users = await Promise.all(Array.from({ length: CROWD }, () => stage.user()))
    const before = await stage.service.acceptedKnocks()
    const answers = await Promise.all(users.map((user) => user.knock(room.roomId, stage.resident.name)))
    for (const answer of answers) good(answer)
    expect(await stage.service.acceptedKnocks()).toBe(before + CROWD)
    return everybodyIsSeen(room, new Set(users.map(({ userId }) => userId)))
  },
} satisfies Record<string, Play>

async function everybodyIsSeen(
  { roomId, moderator, member }: BesideRoom,
  users: ReadonlySet<string>,
): Promise<readonly string[]> {
  for (const client of [moderator, member]) {
    await until(
      `${client.userId} sees all ${users.size} knocks`,
      async () => new Set((await knocksIn(client, roomId)).keys()).size === users.size,
      CROWD_SEEN_WITHIN_MS,
    )
  }
  const seen = await knocksIn(moderator, roomId)
  expect(new Set(seen.keys())).toEqual(users)
  expect(await knocksIn(member, roomId)).toEqual(seen)
  return [...seen.values()]
}
