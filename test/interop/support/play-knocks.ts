/** Knocks that are let in: who sees them. */
import { expect } from 'vitest'
import { type BesideRoom, good } from './beside-stage.ts'
import type { Client } from './client.ts'
import type { Play } from './play.ts'
import { knockAndSee, knocksIn, SEEN_WITHIN_MS } from './seeing-knocks.ts'
import { sendTemplate, templateFor } from './signed-knocks.ts'
import { until } from './until.ts'
import type { SeenEvent } from './watch.ts'

const CROWD = 20
const LIVELY = 6
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

  async fromElsewhere(stage, kind) {
    return [await knockAndSee(stage, await stage.foreignRoom(kind), await stage.user(), 'let me in')]
  },

  async newName(stage, kind) {
    const room = await stage.newRoom(kind)
    const first = await knockAndSee(stage, room, await stage.user())
    good(await room.moderator.setState(room.roomId, 'm.room.name', '', { name: 'Knock louder' }))
    await stage.newsArrive()
    const user = await stage.user()
    const watch = await user.watch()
    const second = await knockAndSee(stage, room, user)
    const isName = ({ section, roomId, event }: SeenEvent): boolean =>
      section === 'knock' && roomId === room.roomId && event.type === 'm.room.name'
    const { event } = await watch.until('the name of the room', isName, SEEN_WITHIN_MS)
    expect(event.content).toEqual({ name: 'Knock louder' })
    return [first, second]
  },

  async sameTemplate(stage, kind) {
    const room = await stage.newRoom(kind)
    const people = Array.from({ length: CROWD }, () => stage.stranger())
    const templates = await Promise.all(people.map((who) => templateFor(stage, room, who)))
    const answers = await Promise.all(templates.map((template) => sendTemplate(stage, room, template)))
    expect(answers.map(({ status, text }) => `${status} ${status === 200 ? '' : text}`)).toEqual(
      answers.map(() => '200 '),
    )
    return everybodyIsSeen(room, new Set(people.map(({ id }) => id)))
  },

  async lively(stage, kind) {
    const room = await stage.newRoom(kind)
    const users = await Promise.all(Array.from({ length: LIVELY }, () => stage.user()))
    const guests = await Promise.all(Array.from({ length: LIVELY }, () => stage.localUser()))
    const comeAndGo = async (guest: Client): Promise<void> => {
      good(await room.moderator.invite(room.roomId, guest.userId))
      good(await guest.join(room.roomId))
      for (const client of [guest, room.moderator, room.member]) good(await client.say(room.roomId, 'hello'))
      good(await guest.leave(room.roomId))
    }
    const talk = (async () => {
      for (const guest of guests) await comeAndGo(guest)
    })()
    for (const user of users) good(await user.knock(room.roomId, stage.resident.name))
    await talk
    return everybodyIsSeen(room, new Set(users.map(({ userId }) => userId)))
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
