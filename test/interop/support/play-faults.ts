/** Programs that are started again, or are gone for a while. */
import { expect } from 'vitest'
import type { SignedEvent } from '../../support/events.ts'
import { type BesideRoom, good, type Stage } from './beside-stage.ts'
import type { Play } from './play.ts'
import { knockAndSee, whileWatched } from './seeing-knocks.ts'
import type { RoomKind } from './settings.ts'
import { askTemplate, sendTemplate, templateFor } from './signed-knocks.ts'

export const faults = {
  homeserverRestarts: (stage, kind) => restartedBetween(stage, kind, stage.resident),

  serviceRestarts: (stage, kind) => restartedBetween(stage, kind, stage.service),

  async bannedAfterRestarts(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const who = stage.stranger()
    const template = await templateFor(stage, room, who)
    await stage.resident.down()
    await stage.service.down()
    await stage.service.up()
    await stage.resident.up()
    const other = await knockAndSee(stage, room, await stage.user())
    good(await room.moderator.ban(room.roomId, who.id))
    await stage.newsArrive()
    const late = await sendTemplate(stage, room, template)
    expect(late.status, late.text).toBe(403)
    return [other, `${late.status} ${late.body.errcode}`]
  },

  async homeserverHangs(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const who = stage.stranger()
    const template = await templateFor(stage, room, who)
    stage.resident.pause()
    try {
      const late = await sendTemplate(stage, room, template)
      expect(late.status, late.text).toBe(504)
    } finally {
      stage.resident.resume()
    }
    await accepted(stage, room, who.id, template)
    return ['504', template.eventId, await knockAndSee(stage, room, await stage.user())]
  },

  async homeserverDown(stage, kind) {
    const room = await stage.sharedRoom(kind)
    const who = stage.stranger()
    const template = await templateFor(stage, room, who)
    await stage.resident.down()
    const late = await sendTemplate(stage, room, template)
    expect(late.status, late.text).toBe(504)
    await stage.service.down()
    await stage.service.up()
    const unread = await askTemplate(stage, room.roomId, stage.stranger())
    expect(unread.status, unread.text).toBe(504)
    await stage.resident.up()
    await accepted(stage, room, who.id, template)
    return ['504', template.eventId, await knockAndSee(stage, room, await stage.user())]
  },
} satisfies Record<string, Play>

/** A program is started again between a template and its knock. */
async function restartedBetween(
  stage: Stage,
  kind: RoomKind,
  program: { down(): Promise<void>; up(): Promise<void> },
): Promise<readonly string[]> {
  const room = await stage.sharedRoom(kind)
  const who = stage.stranger()
  const template = await templateFor(stage, room, who)
  await program.down()
  await program.up()
  await accepted(stage, room, who.id, template)
  return [template.eventId, await knockAndSee(stage, room, await stage.user())]
}

async function accepted(stage: Stage, room: BesideRoom, userId: string, template: SignedEvent): Promise<void> {
  const id = await whileWatched(room, userId, undefined, async () => good(await sendTemplate(stage, room, template)))
  expect(id).toBe(template.eventId)
}
