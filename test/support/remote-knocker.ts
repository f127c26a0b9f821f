/**
 * The knocking side as tests need it: right by default, and wrong in exactly one place where a test says so.
 * https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */
import { finishEvent, type SignedEvent } from './events.ts'
import { type Answer, exchange } from './http-client.ts'
import { authorization, canonical, type Identity, type Json, type JsonRecord } from './signing.ts'
import type { Person, TestRoom } from './test-room.ts'

/** The service that is knocked at. */
export interface Resident {
  readonly port: number
  readonly identity: Identity
}

/** Sends a request signed by a server. */
export function signedRequest(
  resident: Resident,
  origin: Identity,
  method: string,
  path: string,
  content?: Json,
): Promise<Answer> {
  const toSign = { method, uri: path, destination: resident.identity.name, ...(content !== undefined && { content }) }
  return exchange(resident.port, {
    method,
    path,
    headers: ['authorization', authorization(origin, toSign)],
    ...(content !== undefined && { body: canonical(content) }),
  })
}

export function makeKnockPath(roomId: string, userId: string, ...versions: readonly string[]): string {
  const query = versions.map((version) => `ver=${encodeURIComponent(version)}`).join('&')
  const path = `/_matrix/federation/v1/make_knock/${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}`
  return query === '' ? path : `${path}?${query}`
}

export function sendKnockPath(roomId: string, eventId: string): string {
  return `/_matrix/federation/v1/send_knock/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`
}

/** Asks for a template, offering the room's own version where no others are given. */
export function makeKnock(
  resident: Resident,
  { id, server }: Person,
  { roomId, version }: { roomId: string; version: string },
  versions: readonly string[] = [version],
): Promise<Answer> {
  return signedRequest(resident, server, 'GET', makeKnockPath(roomId, id, ...versions))
}

/** A knock that is not signed yet, as the state of the room asks for it. */
export function knockDraft(room: TestRoom, { id }: Person, changes: JsonRecord = {}): JsonRecord {
  return {
    type: 'm.room.member',
    room_id: room.roomId,
    sender: id,
    state_key: id,
    content: { membership: 'knock', reason: 'may I come in?' },
    origin_server_ts: Date.now(),
    depth: Number(room.tip.pdu.depth) + 1,
    prev_events: [room.tip.eventId],
    auth_events: room.authEventsFor(id),
    ...changes,
  }
}

/** A signed knock, with some keys of the event changed before it is hashed and signed. */
export function knockEvent(room: TestRoom, who: Person, changes: JsonRecord = {}): SignedEvent {
  return finishEvent(knockDraft(room, who, changes), room.version, who.server)
}

/** Sends a signed knock to the place where it belongs. */
export function sendKnock(
  resident: Resident,
  origin: Identity,
  { roomId }: { roomId: string },
  { eventId, pdu }: SignedEvent,
): Promise<Answer> {
  return signedRequest(resident, origin, 'PUT', sendKnockPath(roomId, eventId), pdu)
}
