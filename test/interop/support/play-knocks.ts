/** Knocks that are let in: who sees them. */
import { expect } from 'vitest'
import type { BesideRoom, Stage } from './beside-stage.ts'
import { good } from './beside-stage.ts'
import type { Client } from './client.ts'
import type { Play } from './play.ts'
import type { SeenEvent, Watch } from './watch.ts'

/** How soon a knock has to be seen. */
export const SEEN_WITHIN_MS = 5000

/** A user knocks, which the moderator and the third server's member see. @returns the knock's id */
export async function knockAndSee(
  { resident }: Stage,
  { roomId, moderator, member }: BesideRoom,
  user: Client,
  reason?: string,
): Promise<string> {
  const watches = await Promise.all([moderator.watch(), member.watch()])
  const from = Date.now()
  good(await user.knock(roomId, resident.name, reason))
  const [id, others] = await Promise.all(watches.map((watch) => seenKnock(watch, user.userId, reason, from)))
  expect(others).toBe(id)
  return String(id)
}

async function seenKnock(watch: Watch, userId: string, reason: string | undefined, from: number): Promise<string> {
  const left = Math.max(SEEN_WITHIN_MS - (Date.now() - from), 1)
  const { event } = await watch.until(`the knock of ${userId}`, (seen) => isKnockOf(seen, userId), left)
  expect((event.content as { reason?: unknown }).reason).toBe(reason)
  return String(event.event_id)
}

export function isKnockOf({ section, event }: SeenEvent, userId: string): boolean {
  const { type, state_key: stateKey, content } = event
  const isKnock = (content as { membership?: unknown } | undefined)?.membership === 'knock'
  return section === 'join' && type === 'm.room.member' && stateKey === userId && isKnock
}

export const knocks = {
  async firstOnUnknownRoom(stage, kind) {
    const room = await stage.newRoom(kind)
    // What it was told of the room is gone.
    await stage.service.down()
    await stage.service.up()
    return [await knockAndSee(stage, room, await stage.user())]
  },
  async withReason(stage, kind) {
    return [await knockAndSee(stage, await stage.sharedRoom(kind), await stage.user(), 'let me in')]
  },
} satisfies Record<string, Play>
