/**
 * One PDU of a room that somebody hands us: its id and its hash are computed anew before anything rests on it.
 * https://spec.matrix.org/latest/server-server-api/#validating-hashes-and-signatures-on-received-events
 */
import { TYPES_OF_EVERY_BRANCH } from '../knock/fact-types.ts'
import { canonicalJsonText } from '../matrix/canonical-json.ts'
import { MAX_PDU_BYTES, pduFormatFlaw } from '../matrix/event-format.ts'
import { eventIdOfSignedForm, eventTexts, isContentHash } from '../matrix/event-hashes.ts'
import { type EventId, parseEventId, parseUserId, type RoomId, type UserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../matrix/json.ts'
import { readPartialEvent } from '../matrix/partial-event.ts'
import type { Pdu, RoomEvent } from '../matrix/pdu.ts'
import { redact } from '../matrix/redaction.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { without } from '../matrix/signed-json.ts'

/** An event that a room can be built of. */
export type SoundEvent = ComputedEvent | BareEvent

/** An event whose id was computed, and whose hash holds or whose redacted form stands for it. */
export interface ComputedEvent extends RoomEvent {
  readonly sender: UserId
  /** What its signatures cover. */
  readonly signedBytes: Uint8Array
  /** The PDU as canonical JSON. */
  readonly json: string
  /**
   * `whole`: its content hash holds. `redacted`: it came redacted, or no more of it can be read: only its signatures can
   * tell whether it was changed. `altered`: it came with something that its hash does not cover, which was left out.
   */
  readonly form: 'whole' | 'redacted' | 'altered'
}

/** A last event of a room of which no more is known than its id and its depth: its PDU says nothing else. */
export interface BareEvent extends RoomEvent {
  readonly json: string
  readonly form: 'named'
}

/** An event that cannot be used: at most its own place in the state is closed by that. */
export interface FlawedEvent {
  /** For the operator. */
  readonly reason: string
  /** Its place in the state. Undefined where it is no state event, or where its place cannot be read. */
  readonly slot: Slot | undefined
  /** It can be told that it has no place in the state. */
  readonly stateless?: true
  /** No homeserver hands out such a thing: it is not an event, or was changed on its way, or is of another room. */
  readonly foreign: boolean
}

/** The place of an event in the state of its room. */
export interface Slot {
  readonly type: string
  readonly stateKey: string
}

export type RoomEventReading =
  | { readonly ok: true; readonly event: SoundEvent }
  | { readonly ok: false; readonly flaw: FlawedEvent }

/** Far longer reasons hold what a stranger wrote. */
const MAX_REASON = 300

/**
 * Reads a PDU in federation format. What the strict reader refuses is taken in its redacted form where that can be read.
 * Says nothing about signatures.
 * @param bytes one JSON value
 * @returns the event without `unsigned`, or what does not hold together
 */
export function readRoomEvent(bytes: Uint8Array, roomId: RoomId, version: RoomVersion): RoomEventReading {
  const json = parseJson(bytes)
  if (json.ok) {
    if (!isJsonObject(json.value))
      return { ok: false, flaw: { reason: 'it is not an object', slot: undefined, foreign: true } }
    // What a homeserver notes about an event for itself is not part of it, and does not count towards its size.
    return checkEvent(without(json.value, ['unsigned']), 'whole', roomId, version)
  }
  const partial = readPartialEvent(bytes, version)
  if (partial.kind === 'unreadable') return flawed(json.reason, partial.told)
  return checkEvent(partial.object, partial.kind, roomId, version)
}

/**
 * A last event of a room that cannot be read. Whoever builds upon it has to name it, and no more. Its PDU holds its id,
 * which no other PDU of these versions does, and its depth.
 */
export function namedEvent(eventId: EventId, depth: number): BareEvent {
  const pdu: Pdu = {
    event_id: eventId,
    depth,
    type: '',
    sender: '',
    content: {},
    origin_server_ts: 0,
    prev_events: [],
    auth_events: [],
    hashes: { sha256: '' },
    signatures: {},
  }
  const json = canonicalJsonText(pdu)
  return { eventId, pdu, json, form: 'named' }
}

/** What an export says of such an event. */
export function readNamedEvent(bytes: Uint8Array): BareEvent | undefined {
  const json = parseJson(bytes)
  if (!json.ok || !isJsonObject(json.value)) return undefined
  const { type, event_id: id, depth } = json.value
  const eventId = typeof id === 'string' ? parseEventId(id) : undefined
  if (type !== '' || eventId === undefined || !isDepth(depth)) return undefined
  return namedEvent(eventId, depth)
}

export function isDepth(value: JsonValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** @param read whether the event as it came is at hand, or its redacted form alone */
function checkEvent(
  object: JsonObject,
  read: 'whole' | 'redacted',
  roomId: RoomId,
  version: RoomVersion,
): RoomEventReading {
  const format = pduFormatFlaw(object, version)
  if (format !== undefined) return unusable(format, object)
  const pdu = object as Pdu
  const sender = parseUserId(pdu.sender)
  if (sender === undefined) return unusable(`sender is no user id: ${JSON.stringify(pdu.sender)}`, object)
  const texts = eventTexts(pdu, version)
  if (Buffer.byteLength(texts.json) > MAX_PDU_BYTES) return unusable(`it is larger than ${MAX_PDU_BYTES} bytes`, object)
  const { signedBytes } = texts
  const eventId = version.eventId === 'in-pdu' ? (pdu.event_id as EventId) : eventIdOfSignedForm(signedBytes, version)
  const named = version.hashRoomId && pdu.room_id === undefined ? `!${eventId.slice(1)}` : pdu.room_id
  if (named !== roomId) return foreign(`${eventId} is of another room, ${JSON.stringify(named)}`, object)
  const sound = { eventId, sender, signedBytes }
  if (isContentHash(pdu, texts.contentHash)) {
    return { ok: true, event: { ...sound, pdu, json: texts.json, form: 'whole' } }
  }
  const isRedacted = texts.json === texts.redactedJson
  const form = read === 'redacted' || isRedacted ? 'redacted' : 'altered'
  const isTakenAway = read === 'redacted' || !isRedacted
  if (isTakenAway && TYPES_OF_EVERY_BRANCH.includes(pdu.type)) {
    // Nothing of what these decide is in their redacted form.
    const reason = read === 'redacted' ? 'its content cannot be read' : 'its content hash does not hold'
    return (read === 'redacted' ? flawed : foreign)(`${eventId}: ${reason}`, object)
  }
  return { ok: true, event: { ...sound, pdu: redact(pdu, version), json: texts.redactedJson, form } }
}

/** @param object all that redaction keeps of it, at least */
function unusable(reason: string, object: JsonObject): RoomEventReading {
  const flaw = flawOf(reason, object, false)
  return { ok: false, flaw: object.state_key === undefined ? { ...flaw, stateless: true } : flaw }
}

function flawed(reason: string, told: JsonObject): RoomEventReading {
  return { ok: false, flaw: flawOf(reason, told, false) }
}

function foreign(reason: string, told: JsonObject): RoomEventReading {
  return { ok: false, flaw: flawOf(reason, told, true) }
}

function flawOf(reason: string, { type, state_key: stateKey }: JsonObject, isForeign: boolean): FlawedEvent {
  const short = reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON)}…` : reason
  return { reason: short.toWellFormed(), slot: slotOf(type, stateKey), foreign: isForeign }
}

function slotOf(type: JsonValue | undefined, stateKey: JsonValue | undefined): Slot | undefined {
  return typeof type === 'string' && typeof stateKey === 'string' ? { type, stateKey } : undefined
}
