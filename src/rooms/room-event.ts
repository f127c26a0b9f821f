/**
 * One PDU of a room that somebody hands us: its id and its hash are computed anew before anything rests on it.
 * https://spec.matrix.org/latest/server-server-api/#validating-hashes-and-signatures-on-received-events
 */
import { canonicalJsonText } from '../matrix/canonical-json.ts'
import { checkPduFormat, contentHashHolds, eventIdOfSignedForm, type RoomEvent, signedForm } from '../matrix/event.ts'
import type { EventId, RoomId } from '../matrix/identifiers.ts'
import { isJsonObject, parseJson } from '../matrix/json.ts'
import { redact } from '../matrix/redaction.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { without } from '../matrix/signed-json.ts'

/** An event whose id and hash hold, with the bytes that its signatures cover. */
export interface SoundEvent extends RoomEvent {
  readonly signedBytes: Uint8Array
}

export type SoundEventResult =
  | { readonly ok: true; readonly event: SoundEvent }
  | { readonly ok: false; readonly reason: string }

/**
 * Reads a PDU in federation format. Says nothing about its signatures.
 * @param bytes JSON
 * @returns the event without `unsigned`, or what does not hold together
 */
export function readRoomEvent(bytes: Uint8Array, roomId: RoomId, version: RoomVersion): SoundEventResult {
  const json = parseJson(bytes)
  if (!json.ok) return flawed(json.reason)
  if (!isJsonObject(json.value)) return flawed('it is not an object')
  // What a homeserver notes about an event for itself is not part of it, and does not count towards its size.
  const format = checkPduFormat(without(json.value, ['unsigned']), version)
  if (!format.ok) return flawed(format.error)
  const { pdu } = format
  const signedBytes = signedForm(pdu, version)
  const eventId = version.eventId === 'in-pdu' ? (pdu.event_id as EventId) : eventIdOfSignedForm(signedBytes, version)
  const named = version.hashRoomId && pdu.room_id === undefined ? `!${eventId.slice(1)}` : pdu.room_id
  if (named !== roomId) return flawed(`${eventId} (${pdu.type}) is of another room, ${named}`)
  // A redacted event keeps the hash of what it was.
  const sound = contentHashHolds(pdu) || canonicalJsonText(pdu) === canonicalJsonText(redact(pdu, version))
  if (sound) return { ok: true, event: { eventId, pdu, signedBytes } }
  return flawed(`the content hash of ${eventId} (${pdu.type}) does not hold, and it is not redacted`)
}

function flawed(reason: string): SoundEventResult {
  return { ok: false, reason }
}
