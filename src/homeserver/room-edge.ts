/**
 * Where a room stands on the homeserver: its version and its forward extremities, asked for as one of its joined users.
 * https://spec.matrix.org/latest/server-server-api/#leaving-rooms-rejecting-invites
 */
import type { RoomId, UserId } from '../matrix/identifiers.ts'
import { isJsonObject } from '../matrix/json.ts'
import { type RoomVersion, roomVersion } from '../matrix/room-versions.ts'
import { checkRoomEvent, type SoundEvent } from '../rooms/room-event.ts'
import type { HomeserverAnswer, HomeserverClient } from './homeserver-client.ts'

export interface RoomEdge {
  readonly kind: 'edge'
  readonly version: RoomVersion
  readonly extremities: readonly SoundEvent[]
  /** Joined on the homeserver: requests in this user's name are answered. */
  readonly user: UserId
}

/** The homeserver does not have the room, or is not in it. */
export interface Absent {
  readonly kind: 'absent'
}

/** Nothing can be said of the room now. The reason is for the operator. */
export interface Unavailable {
  readonly kind: 'unavailable'
  readonly reason: string
}

/** An endpoint's answer that was not what it should be. */
export function unusable(what: string, answer: HomeserverAnswer): Unavailable {
  if (answer.kind === 'failed') return { kind: 'unavailable', reason: `${what}: ${answer.reason}` }
  const errcode = typeof answer.body?.errcode === 'string' ? ` ${answer.body.errcode}` : ''
  return { kind: 'unavailable', reason: `${what} answers ${answer.status}${errcode}` }
}

/** @param users who may be joined; they are tried in this order @param deadline absolute time in milliseconds */
export async function readRoomEdge(
  client: HomeserverClient,
  roomId: RoomId,
  users: readonly UserId[],
  deadline: number,
): Promise<RoomEdge | Absent | Unavailable> {
  for (const user of users) {
    const path = `/_matrix/federation/v1/make_leave/${encodeURIComponent(roomId)}/${encodeURIComponent(user)}`
    const answer = await client.get(path, deadline)
    if (answer.kind === 'failed') return unusable('make_leave', answer)
    if (answer.status === 404) return { kind: 'absent' }
    // Not a member: another of ours may be one.
    if (answer.status === 400 || answer.status === 403) continue
    if (answer.status !== 200) return unusable('make_leave', answer)
    return readTemplate(client, roomId, user, answer, deadline)
  }
  return { kind: 'absent' }
}

async function readTemplate(
  client: HomeserverClient,
  roomId: RoomId,
  user: UserId,
  { body }: Extract<HomeserverAnswer, { kind: 'answered' }>,
  deadline: number,
): Promise<RoomEdge | Unavailable> {
  const version = typeof body?.room_version === 'string' ? roomVersion(body.room_version) : undefined
  const ids = isJsonObject(body?.event) ? body.event.prev_events : undefined
  if (version === undefined)
    return { kind: 'unavailable', reason: 'make_leave names no room version that is known here' }
  if (!Array.isArray(ids) || ids.length === 0) return { kind: 'unavailable', reason: 'make_leave names no prev_events' }
  const extremities: SoundEvent[] = []
  for (const id of ids as readonly unknown[]) {
    // In versions 1 and 2, in which nobody can knock, an id comes with its hash.
    const event = await readEvent(client, roomId, version, String(Array.isArray(id) ? id[0] : id), deadline)
    if (event.kind === 'unavailable') return event
    extremities.push(event.event)
  }
  return { kind: 'edge', version, extremities, user }
}

/** One event by its id, computed anew. */
export async function readEvent(
  client: HomeserverClient,
  roomId: RoomId,
  version: RoomVersion,
  eventId: string,
  deadline: number,
): Promise<{ readonly kind: 'event'; readonly event: SoundEvent } | Unavailable> {
  const answer = await client.get(`/_matrix/federation/v1/event/${encodeURIComponent(eventId)}`, deadline)
  if (answer.kind === 'failed' || answer.status !== 200) return unusable('event', answer)
  const pdu = Array.isArray(answer.body?.pdus) ? answer.body.pdus[0] : undefined
  if (pdu === undefined) return { kind: 'unavailable', reason: `event gives no PDU for ${eventId}` }
  const checked = checkRoomEvent(pdu, roomId, version)
  if (!checked.ok) return { kind: 'unavailable', reason: `event ${eventId}: ${checked.reason}` }
  if (checked.event.eventId !== eventId) {
    return { kind: 'unavailable', reason: `event ${eventId}: what was given is ${checked.event.eventId}` }
  }
  return { kind: 'event', event: checked.event }
}
