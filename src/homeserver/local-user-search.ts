/**
 * Finds joined users of the homeserver in a room of which nobody is known, where the homeserver names an event without
 * being told of a user. https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
 */
import type { Clock } from '../knock/ports/rooms.ts'
import { parseUserId, type RoomId, type ServerName, serverNameOf, type UserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonValue, parseJson } from '../matrix/json.ts'
import { readRoomFile } from '../rooms/room-file.ts'
import type { HomeserverClient } from './homeserver-client.ts'
import { isRefusal, type Unavailable, unusable } from './room-edge.ts'

export interface LocalUserSearch {
  readonly client: HomeserverClient
  readonly serverName: ServerName
  readonly clock: Clock
}

export interface FoundUser {
  readonly kind: 'user'
  readonly userId: UserId
}

/**
 * Who may be joined, one by one as they are found: no more of the room is read than is asked for. Only whom to ask as; what
 * they are told is checked by itself. The last is that more cannot be found out now, where that is so.
 * @param deadline absolute time in milliseconds
 */
export async function* findLocalUsers(
  { client, serverName, clock }: LocalUserSearch,
  roomId: RoomId,
  deadline: number,
): AsyncGenerator<FoundUser | Unavailable, void> {
  const room = encodeURIComponent(roomId)
  const last = await client.get(`/_matrix/federation/v1/timestamp_to_event/${room}?ts=${clock()}&dir=b`, deadline)
  const eventId = last.kind === 'answered' && last.status === 200 ? last.body?.event_id : undefined
  if (typeof eventId !== 'string') {
    if (!isRefusal(last)) yield unusable('timestamp_to_event', last)
    return
  }
  const event = encodeURIComponent(eventId)
  // The state is that before the event, which may be what brought the only user, or took the first away.
  const since = memberOf(await readPdu(client, event, deadline))
  if (since?.joined && serverNameOf(since.userId) === serverName) yield { kind: 'user', userId: since.userId }
  const state = await client.stream(`/_matrix/federation/v1/state/${room}?event_id=${event}`, deadline)
  if (state.kind !== 'stream') {
    if (!isRefusal(state)) yield unusable('state', state)
    return
  }
  for await (const part of readRoomFile(state.bytes)) {
    const json = part.kind === 'item' && part.key === 'pdus' ? parseJson(part.bytes) : undefined
    const member = json?.ok ? memberOf(json.value) : undefined
    if (!member?.joined || member.userId === since?.userId) continue
    if (serverNameOf(member.userId) === serverName) yield { kind: 'user', userId: member.userId }
  }
  const failure = state.failure()
  if (failure !== undefined) yield { kind: 'unavailable', reason: `state: ${failure}` }
}

async function readPdu(client: HomeserverClient, event: string, deadline: number): Promise<JsonValue | undefined> {
  const answer = await client.get(`/_matrix/federation/v1/event/${event}`, deadline)
  const pdus = answer.kind === 'answered' && answer.status === 200 ? answer.body?.pdus : undefined
  return Array.isArray(pdus) ? pdus[0] : undefined
}

/** Of a member event: whose it is, and whether they join by it. */
function memberOf(pdu: JsonValue | undefined): { readonly userId: UserId; readonly joined: boolean } | undefined {
  if (!isJsonObject(pdu) || pdu.type !== 'm.room.member' || typeof pdu.state_key !== 'string') return undefined
  const userId = parseUserId(pdu.state_key)
  return userId && { userId, joined: isJsonObject(pdu.content) && pdu.content.membership === 'join' }
}
