/**
 * Finds a joined user of the homeserver in a room of which nobody is known, where the homeserver names an event without
 * being told of a user. https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
 */
import type { Clock } from '../knock/ports.ts'
import { parseUserId, type RoomId, type ServerName, serverNameOf, type UserId } from '../matrix/identifiers.ts'
import { isJsonObject, parseJson } from '../matrix/json.ts'
import { readRoomFile } from '../rooms/room-file.ts'
import type { HomeserverClient } from './homeserver-client.ts'

export interface LocalUserSearch {
  readonly client: HomeserverClient
  readonly serverName: ServerName
  readonly clock: Clock
}

/** @param deadline absolute time in milliseconds @returns undefined where nobody was found, for whatever reason */
export async function findLocalUser(
  { client, serverName, clock }: LocalUserSearch,
  roomId: RoomId,
  deadline: number,
): Promise<UserId | undefined> {
  const room = encodeURIComponent(roomId)
  const last = await client.get(`/_matrix/federation/v1/timestamp_to_event/${room}?ts=${clock()}&dir=b`, deadline)
  const eventId = last.kind === 'answered' && last.status === 200 ? last.body?.event_id : undefined
  if (typeof eventId !== 'string') return undefined
  const path = `/_matrix/federation/v1/state/${room}?event_id=${encodeURIComponent(eventId)}`
  const state = await client.stream(path, deadline)
  if (state.kind !== 'stream') return undefined
  for await (const part of readRoomFile(state.bytes)) {
    const user = part.kind === 'item' && part.key === 'pdus' ? joinedUser(part.bytes) : undefined
    if (user !== undefined && serverNameOf(user) === serverName) return user
  }
  return undefined
}

/** Only whom to ask as: what they are told is checked by itself. */
function joinedUser(bytes: Uint8Array): UserId | undefined {
  const json = parseJson(bytes)
  if (!json.ok || !isJsonObject(json.value)) return undefined
  const { type, state_key: stateKey, content } = json.value
  if (type !== 'm.room.member' || typeof stateKey !== 'string') return undefined
  return isJsonObject(content) && content.membership === 'join' ? parseUserId(stateKey) : undefined
}
