/** Which of the resident's users are in the room, and what the service makes of it. */
import { expect } from 'vitest'
import { good } from './beside-stage.ts'
import type { Play } from './play.ts'
import { knockAndSee } from './seeing-knocks.ts'
import { askTemplate } from './signed-knocks.ts'

export const places = {
  async otherLocalUser(stage, kind) {
    const room = await stage.newRoom(kind)
    const { roomId, moderator } = room
    const other = await stage.localUser()
    const first = await knockAndSee(stage, room, await stage.user())
    good(await moderator.invite(roomId, other.userId))
    good(await other.join(roomId))
    good(await moderator.leave(roomId))
    await stage.newsArrive()
    return [first, await knockAndSee(stage, { ...room, moderator: other }, await stage.user())]
  },

  async comesBack(stage, kind) {
    const room = await stage.newRoom(kind)
    const { roomId, moderator, member } = room
    const other = await stage.localUser()
    good(await moderator.leave(roomId))
    await stage.newsArrive()
    const absent = await askTemplate(stage, roomId, stage.stranger())
    expect(absent.status, absent.text).toBe(404)
    good(await member.invite(roomId, other.userId))
    good(await other.join(roomId, member.userId.slice(member.userId.indexOf(':') + 1)))
    await stage.newsArrive()
    return ['404', await knockAndSee(stage, { ...room, moderator: other }, await stage.user())]
  },
} satisfies Record<string, Play>
