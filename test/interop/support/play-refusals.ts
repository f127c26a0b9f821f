/** Knocks that the room's rules refuse, before and after the template. */
import { expect } from 'vitest'
import type { Answer } from '../../support/http-client.ts'
import type { Json } from '../../support/signing.ts'
import type { Person } from '../../support/test-room.ts'
import { type BesideRoom, good, type Stage } from './beside-stage.ts'
import type { Play } from './play.ts'
import { knockAndSee } from './seeing-knocks.ts'
import { askTemplate, ownDraft, sendTemplate, templateFor } from './signed-knocks.ts'

export const refusals = {
  async wrongRule(stage, kind) {
    const room = await stage.newRoom(kind)
    await setJoinRule(room, 'invite')
    await stage.newsArrive()
    const user = await stage.user()
    const who = stage.stranger()
    const signed = await refusesSigned(stage, room, who, undefined)
    return [...signed, forbidden(await user.knock(room.roomId, stage.resident.name))]
  },

  async invited(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const user = await stage.user()
    const who = stage.stranger()
    for (const invited of [user.userId, who.id]) good(await room.moderator.invite(room.roomId, invited))
    await stage.newsArrive()
    const signed = await refusesSigned(stage, room, who, 'invite')
    return [...signed, forbidden(await user.knock(room.roomId, stage.resident.name))]
  },

  async joined(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const who = stage.stranger()
    good(await room.moderator.invite(room.roomId, who.id))
    await stage.remote.join(stage.resident, room.roomId, who)
    await stage.newsArrive()
    return refusesSigned(stage, room, who, 'join')
  },

  async banned(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const user = await stage.user()
    const who = stage.stranger()
    for (const banned of [user.userId, who.id]) good(await room.moderator.ban(room.roomId, banned))
    await stage.newsArrive()
    const signed = await refusesSigned(stage, room, who, 'ban')
    return [...signed, forbidden(await user.knock(room.roomId, stage.resident.name))]
  },

  async deniedServer(stage, kind) {
    const room = await stage.newRoom(kind)
    const { roomId, moderator } = room
    const user = await stage.user()
    const who = stage.stranger()
    const template = await templateFor(stage, room, who)
    const acl = { allow: ['*'], deny: ['127.0.0.1', '127.0.0.3'], allow_ip_literals: true }
    good(await moderator.setState(roomId, 'm.room.server_acl', '', acl))
    await stage.newsArrive()
    const answers = [
      await user.knock(roomId, stage.resident.name),
      await askTemplate(stage, roomId, who),
      await sendTemplate(stage, room, template),
    ]
    expect(await moderator.membership(roomId, who.id)).toBeUndefined()
    return answers.map(forbidden)
  },

  async ruleChanged(stage, kind) {
    const room = await stage.newRoom(kind)
    const who = stage.stranger()
    const template = await templateFor(stage, room, who)
    await setJoinRule(room, 'invite')
    await stage.newsArrive()
    const answer = forbidden(await sendTemplate(stage, room, template))
    expect(await room.moderator.membership(room.roomId, who.id)).toBeUndefined()
    return [answer]
  },

  async bannedSince(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const who = stage.stranger()
    const template = await templateFor(stage, room, who)
    good(await room.moderator.ban(room.roomId, who.id))
    await stage.newsArrive()
    const answer = forbidden(await sendTemplate(stage, room, template))
    expect(await room.moderator.membership(room.roomId, who.id)).toBe('ban')
    return [answer]
  },

  async openedAgain(stage, kind) {
    const room = await stage.newRoom(kind)
    const { roomId, moderator } = room
    const closed = { allow: ['*'], deny: ['127.0.0.3'], allow_ip_literals: true }
    good(await moderator.setState(roomId, 'm.room.server_acl', '', closed))
    await setJoinRule(room, 'invite')
    await stage.newsArrive()
    const user = await stage.user()
    const refused = forbidden(await user.knock(roomId, stage.resident.name))
    good(await moderator.setState(roomId, 'm.room.server_acl', '', { ...closed, deny: [] }))
    await setJoinRule(room, 'knock')
    await stage.newsArrive()
    return [refused, await knockAndSee(stage, room, user)]
  },

  async bannedJustNow(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const who = stage.stranger()
    const template = await templateFor(stage, room, who)
    good(await room.moderator.ban(room.roomId, who.id))
    const answer = forbidden(await sendTemplate(stage, room, template))
    expect(await room.moderator.membership(room.roomId, who.id)).toBe('ban')
    return [answer]
  },

  async leftRoom(stage, kind) {
    const room = await stage.newRoom(kind)
    const who = stage.stranger()
    const template = await templateFor(stage, room, who)
    good(await room.moderator.leave(room.roomId))
    await stage.newsArrive()
    return [await askTemplate(stage, room.roomId, who), await sendTemplate(stage, room, template)].map(notFound)
  },

  async unknownRoom(stage, kind) {
    const who = stage.stranger()
    const roomId = `!nowhere:${stage.resident.name}`
    const template = await templateFor(stage, await stage.sharedRoom(kind), who)
    const elsewhere = stage.remote.sign({ ...template.pdu, room_id: roomId }, kind.version)
    return [await askTemplate(stage, roomId, who), await sendTemplate(stage, { roomId }, elsewhere)].map(notFound)
  },
} satisfies Record<string, Play>

async function setJoinRule({ roomId, moderator }: BesideRoom, rule: string): Promise<void> {
  good(await moderator.setState(roomId, 'm.room.join_rules', '', { join_rule: rule }))
}

/**
 * Neither a template nor a knock made without one is to be had, and the user stays what they are. The template comes first:
 * nothing but what the service knows already stands in its way.
 */
async function refusesSigned(
  stage: Stage,
  room: BesideRoom,
  who: Person,
  membership: Json | undefined,
): Promise<readonly string[]> {
  const knock = await ownDraft(stage, room, who)
  const answers = [await askTemplate(stage, room.roomId, who), await sendTemplate(stage, room, knock)]
  expect(await room.moderator.membership(room.roomId, who.id)).toBe(membership)
  return answers.map(forbidden)
}

function forbidden(answer: Answer): string {
  return refused(answer, 403, 'M_FORBIDDEN')
}

function notFound(answer: Answer): string {
  return refused(answer, 404, 'M_NOT_FOUND')
}

function refused({ status, body, text }: Answer, wantedStatus: number, wantedCode: string): string {
  const answer = `${status} ${body.errcode}`
  expect(answer, text).toBe(`${wantedStatus} ${wantedCode}`)
  return answer
}
