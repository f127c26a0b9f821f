/** What becomes of knocks: rejected, taken back, accepted. */
import { expect } from 'vitest'
import type { Person } from '../../support/test-room.ts'
import { type BesideRoom, good, type Stage } from './beside-stage.ts'
import type { Client } from './client.ts'
import type { Play } from './play.ts'
import { knockAndSee, SEEN_WITHIN_MS, seenMember, whileWatched } from './seeing-knocks.ts'
import { sendTemplate, templateFor } from './signed-knocks.ts'

export const answers = {
  async afterRejection(stage, kind) {
    return knocksAgainAfter(stage, await stage.sharedRoom(kind), async ({ roomId, moderator }, { userId }) => {
      if (stage.resident.kind === 'synapse') return good(await moderator.kick(roomId, userId))
      good(await moderator.ban(roomId, userId))
      good(await moderator.unban(roomId, userId))
    })
  },

  async afterWrittenLeave(stage, kind) {
    return knocksAgainAfter(stage, await stage.sharedRoom(kind), async ({ roomId, moderator }, { userId }) => {
      good(await moderator.setState(roomId, 'm.room.member', userId, { membership: 'leave' }))
    })
  },

  async takenBack(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const who = stage.stranger()
    const first = await signedKnockIsSeen(stage, room, who)
    const watches = await Promise.all([room.moderator.watch(), room.member.watch()])
    const by = Date.now() + SEEN_WITHIN_MS
    const { eventId } = await stage.remote.leave(stage.resident, room.roomId, who)
    for (const watch of watches) {
      const event = await seenMember(watch, { userId: who.id, membership: 'leave', by })
      expect(event.event_id).toBe(eventId)
    }
    await stage.newsArrive()
    return [first, await signedKnockIsSeen(stage, room, who)]
  },

  async accepted(stage, kind) {
    const room = await stage.newRoom(kind)
    return [await knockJoinAndTalk(stage, room, await stage.user())]
  },

  async afterLeaving(stage, kind) {
    const room = await stage.newRoom(kind)
    const user = await stage.user()
    const first = await knockJoinAndTalk(stage, room, user)
    const watch = await room.moderator.watch()
    good(await user.leave(room.roomId))
    const by = Date.now() + SEEN_WITHIN_MS
    await seenMember(watch, { userId: user.userId, membership: 'leave', by })
    await stage.newsArrive()
    return [first, await knockAndSee(stage, room, user, 'may I come back?')]
  },
} satisfies Record<string, Play>

/** An invitation accepts a knock, the user joins, and each sees what the other says. @returns the knock's id */
async function knockJoinAndTalk(stage: Stage, room: BesideRoom, user: Client): Promise<string> {
  const { roomId, moderator } = room
  const knock = await knockAndSee(stage, room, user, 'let me in')
  const watches = { moderator: await moderator.watch(), user: await user.watch() }
  good(await moderator.invite(roomId, user.userId))
  const invited = ({ section, roomId: where }: { section: string; roomId: string }): boolean =>
    section === 'invite' && where === roomId
  await watches.user.until('the invitation', invited, SEEN_WITHIN_MS)
  good(await user.join(roomId, stage.resident.name))
  const by = Date.now() + SEEN_WITHIN_MS
  await seenMember(watches.moderator, { userId: user.userId, membership: 'join', by })
  const welcome = (await moderator.say(roomId, 'welcome')).body.event_id
  await watches.user.until('the welcome', ({ event }) => event.event_id === welcome, SEEN_WITHIN_MS)
  const thanks = (await user.say(roomId, 'thank you')).body.event_id
  await watches.moderator.until('the thanks', ({ event }) => event.event_id === thanks, SEEN_WITHIN_MS)
  return knock
}

async function knocksAgainAfter(
  stage: Stage,
  room: BesideRoom,
  reject: (room: BesideRoom, user: Client) => Promise<void>,
): Promise<readonly string[]> {
  const user = await stage.user()
  const first = await knockAndSee(stage, room, user, 'let me in')
  await reject(room, user)
  expect(await room.moderator.membership(room.roomId, user.userId)).toBe('leave')
  await stage.newsArrive()
  return [first, await knockAndSee(stage, room, user, 'once more')]
}

function signedKnockIsSeen(stage: Stage, room: BesideRoom, who: Person): Promise<string> {
  return whileWatched(room, who.id, undefined, async () => {
    good(await sendTemplate(stage, room, await templateFor(stage, room, who)))
  })
}
