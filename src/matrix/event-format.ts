/**
 * The format of events, as each room version has it, and their size limits.
 * https://spec.matrix.org/latest/server-server-api/#pdus
 */
import type { CanonicalMembers } from './canonical-json.ts'
import { type EventTexts, eventTexts } from './event-hashes.ts'
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import type { Pdu } from './pdu.ts'
import { type Refusal, refusal } from './refusal.ts'
import type { RoomVersion } from './room-versions.ts'

/** A whole event, signatures included, as canonical JSON. https://spec.matrix.org/latest/client-server-api/#size-limits */
export const MAX_PDU_BYTES = 65_536
export const MAX_PREV_EVENTS = 20
export const MAX_AUTH_EVENTS = 10
/** The greatest depth that an event can have in the versions that enforce canonical JSON. */
export const MAX_DEPTH = Number.MAX_SAFE_INTEGER
const MAX_FIELD_BYTES = 255

/**
 * Whether an object is an event in the format of a room version. Says nothing about signatures, hashes or rules.
 * @param members the object taken apart, where that was done before
 * @returns the object itself as a Pdu with its texts, or `M_BAD_JSON` naming the key, or `M_TOO_LARGE`
 * @see https://spec.matrix.org/latest/rooms/v4/#event-format and its sisters
 */
export function checkPduFormat(
  object: JsonObject,
  version: RoomVersion,
  members?: CanonicalMembers,
): WellFormedPdu | Refusal {
  const flaw = pduFormatFlaw(object, version)
  if (flaw !== undefined) return refusal('M_BAD_JSON', flaw, `event format v${version.id}`)
  const pdu = object as Pdu
  const texts = eventTexts(pdu, version, members)
  if (Buffer.byteLength(texts.whole) > MAX_PDU_BYTES) {
    return refusal('M_TOO_LARGE', `The event is larger than ${MAX_PDU_BYTES} bytes`, 'size limits')
  }
  return { ok: true, pdu, texts }
}

/** An object in the format of a room version. */
export interface WellFormedPdu {
  readonly ok: true
  readonly pdu: Pdu
  readonly texts: EventTexts
}

/**
 * What is wrong with the format of an event, whatever its size.
 * @returns a sentence that names the key, or undefined where nothing is wrong
 */
export function pduFormatFlaw(object: JsonObject, version: RoomVersion): string | undefined {
  const isCreate = object.type === 'm.room.create' && object.state_key === ''
  for (const key of ['type', 'sender', 'room_id', 'state_key', 'event_id'] as const) {
    const value = object[key]
    if (value === undefined) continue
    if (typeof value !== 'string') return `${key} must be a string`
    if (Buffer.byteLength(value) > MAX_FIELD_BYTES) return `${key} must be at most ${MAX_FIELD_BYTES} bytes`
  }
  if (object.type === undefined) return 'type is missing'
  if (object.sender === undefined) return 'sender is missing'
  if (version.hashRoomId && isCreate) {
    if (object.room_id !== undefined) return 'a create event of this room version has no room_id'
  } else if (object.room_id === undefined) return 'room_id is missing'
  // It would survive redaction and so change the id that everybody else computes.
  if ((object.event_id !== undefined) !== (version.eventId === 'in-pdu')) {
    return version.eventId === 'in-pdu' ? 'event_id is missing' : 'events of this room version carry no event_id'
  }
  return (
    integerFlaw(object, 'origin_server_ts') ??
    integerFlaw(object, 'depth') ??
    ((object.depth as number) < 0 ? 'depth must not be negative' : undefined) ??
    (isJsonObject(object.content) ? undefined : 'content must be an object') ??
    (object.unsigned === undefined || isJsonObject(object.unsigned) ? undefined : 'unsigned must be an object') ??
    referencesFlaw(object, 'prev_events', MAX_PREV_EVENTS, version) ??
    referencesFlaw(object, 'auth_events', MAX_AUTH_EVENTS, version) ??
    (isJsonObject(object.hashes) && typeof object.hashes.sha256 === 'string'
      ? undefined
      : 'hashes.sha256 must be a string') ??
    signaturesFlaw(object.signatures)
  )
}

function integerFlaw(object: JsonObject, key: string): string | undefined {
  return Number.isSafeInteger(object[key]) ? undefined : `${key} must be an integer`
}

function referencesFlaw(object: JsonObject, key: string, most: number, version: RoomVersion): string | undefined {
  const list = object[key]
  if (!Array.isArray(list)) return `${key} must be a list`
  if (list.length > most) return `${key} must name at most ${most} events`
  const wellFormed =
    version.eventId === 'in-pdu'
      ? (item: JsonValue) => Array.isArray(item) && typeof item[0] === 'string'
      : (item: JsonValue) => typeof item === 'string'
  return list.every(wellFormed) ? undefined : `${key} must be a list of event ids`
}

function signaturesFlaw(signatures: JsonValue | undefined): string | undefined {
  if (!isJsonObject(signatures)) return 'signatures must be an object'
  const wellFormed = Object.values(signatures).every(
    (byKey) => isJsonObject(byKey) && Object.values(byKey).every((signature) => typeof signature === 'string'),
  )
  return wellFormed ? undefined : 'signatures must map servers to key ids to strings'
}
