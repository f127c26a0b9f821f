/** How knocks show to the people in a room. */
import { expect } from 'vitest'
import type { JsonRecord } from '../../support/signing.ts'
import { type BesideRoom, good, type Stage } from './beside-stage.ts'
import type { Client } from './client.ts'
import type { SeenEvent, Watch } from './watch.ts'

/** How soon what happens has to be seen. */
export const SEEN_WITHIN_MS = 5000

/** A user knocks by a client; a moderator and the third server's member see it. @returns the knock's id */
export async function knockAndSee(stage: Stage, room: BesideRoom, user: Client, reason?: string): Promise<string> {
  return whileWatched(room, user.userId, reason, async () => {
    const before = await stage.service.acceptedKnocks()
    good(await user.knock(room.roomId, stage.resident.name, reason))
    // A homeserver that can knock would answer by itself where the service were left out.
    expect(await stage.service.acceptedKnocks()).toBe(before + 1)
  })
}

/** @param act what lets the user's knock in @returns the knock's id, once both have seen it in time */
export async function whileWatched(
  { moderator, member }: BesideRoom,
  userId: string,
  reason: string | undefined,
  act: () => Promise<void>,
): Promise<string> {
  const watches = await Promise.all([moderator.watch(), member.watch()])
  const by = Date.now() + SEEN_WITHIN_MS
  await act()
  const [id, others] = await Promise.all(
    watches.map(async (watch) => {
      const event = await seenMember(watch, { userId, membership: 'knock', by })
      expect((event.content as JsonRecord).reason).toBe(reason)
      return String(event.event_id)
    }),
  )
  expect(others).toBe(id)
  return String(id)
}

export interface AwaitedMembership {
  readonly userId: string
  readonly membership: string
  /** Absolute time in milliseconds. */
  readonly by: number
}

/** Waits until a user's membership shows. @throws Error where it does not in time */
export async function seenMember(watch: Watch, awaited: AwaitedMembership): Promise<JsonRecord> {
  const what = `${awaited.userId} with membership ${awaited.membership}`
  const { event } = await watch.until(what, (seen) => isAwaited(seen, awaited), Math.max(awaited.by - Date.now(), 1))
  return event
}

function isAwaited({ section, event }: SeenEvent, { userId, membership }: AwaitedMembership): boolean {
  const { type, state_key: stateKey, content } = event
  if (section !== 'join' || type !== 'm.room.member' || stateKey !== userId) return false
  return (content as JsonRecord).membership === membership
}

/** Who knocks on a room as somebody in it sees it: the ids of the knocks by user. */
export async function knocksIn(client: Client, roomId: string): Promise<ReadonlyMap<string, string>> {
  const knocks = (await readState(client, roomId)).filter(({ type, content }) => {
    return type === 'm.room.member' && (content as JsonRecord).membership === 'knock'
  })
  return new Map(knocks.map(({ state_key, event_id }) => [String(state_key), String(event_id)]))
}

async function readState(client: Client, roomId: string): Promise<readonly JsonRecord[]> {
  const answer = await client.call('GET', `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state`)
  good(answer)
  return JSON.parse(answer.text) as readonly JsonRecord[]
}
