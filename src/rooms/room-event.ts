/**
 * One PDU of a room that somebody hands us: its id and its hash are computed anew before anything rests on it.
 * https://spec.matrix.org/latest/server-server-api/#validating-hashes-and-signatures-on-received-events
 */
import { canonicalJsonText } from '../matrix/canonical-json.ts'
import { checkPduFormat, contentHashHolds, eventIdOfSignedForm, type RoomEvent, signedForm } from '../matrix/event.ts'
import { type EventId, parseUserId, type RoomId, type UserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonValue, parseJson } from '../matrix/json.ts'
import { redact } from '../matrix/redaction.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { without } from '../matrix/signed-json.ts'

/** An event whose id and hash hold, with the bytes that its signatures cover. */
export interface SoundEvent extends RoomEvent {
  readonly sender: UserId
  readonly signedBytes: Uint8Array
  /** Its hash is that of what it was before it was redacted: only its signatures can tell whether it was changed. */
  readonly redacted: boolean
}

export type SoundEventResult =
  | { readonly ok: true; readonly event: SoundEvent }
  | { readonly ok: false; readonly reason: string }

/** The same as checkRoomEvent, of JSON in bytes. */
export function readRoomEvent(bytes: Uint8Array, roomId: RoomId, version: RoomVersion): SoundEventResult {
  const json = parseJson(bytes)
  return json.ok ? checkRoomEvent(json.value, roomId, version) : flawed(json.reason)
}

/**
 * Checks a PDU in federation format. Says nothing about its signatures.
 * @returns the event without `unsigned`, or what does not hold together
 */
export function checkRoomEvent(value: JsonValue, roomId: RoomId, version: RoomVersion): SoundEventResult {
  if (!isJsonObject(value)) return flawed('it is not an object')
  // What a homeserver notes about an event for itself is not part of it, and does not count towards its size.
  const format = checkPduFormat(without(value, ['unsigned']), version)
  if (!format.ok) return flawed(format.error)
  const { pdu } = format
  const sender = parseUserId(pdu.sender)
  if (sender === undefined) return flawed(`sender is no user id: ${JSON.stringify(pdu.sender)}`)
  const signedBytes = signedForm(pdu, version)
  const eventId = version.eventId === 'in-pdu' ? (pdu.event_id as EventId) : eventIdOfSignedForm(signedBytes, version)
  const named = version.hashRoomId && pdu.room_id === undefined ? `!${eventId.slice(1)}` : pdu.room_id
  if (named !== roomId) return flawed(`${eventId} (${pdu.type}) is of another room, ${named}`)
  const redacted = !contentHashHolds(pdu)
  if (!redacted || canonicalJsonText(pdu) === canonicalJsonText(redact(pdu, version))) {
    return { ok: true, event: { eventId, pdu, sender, signedBytes, redacted } }
  }
  return flawed(`the content hash of ${eventId} (${pdu.type}) does not hold, and it is not redacted`)
}

function flawed(reason: string): SoundEventResult {
  return { ok: false, reason }
}
