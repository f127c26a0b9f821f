/**
 * The knocker's side of the two answers: what must hold of a template before it is signed, and of `knock_room_state`.
 * https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */
import { encodeBase64 } from '../../matrix/base64.ts'
import { nativeEd25519 } from '../../matrix/ed25519.ts'
import { checkPduFormat } from '../../matrix/event-format.ts'
import { contentHash, contentHashHolds, eventId, signedForm } from '../../matrix/event-hashes.ts'
import type { EventId, RoomId, UserId } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../matrix/json.ts'
import type { Pdu } from '../../matrix/pdu.ts'
import { redact } from '../../matrix/redaction.ts'
import { type RoomVersion, roomVersion } from '../../matrix/room-versions.ts'
import { without } from '../../matrix/signed-json.ts'
import type { Requester } from './client.ts'

/** What was asked for: the template must be for exactly that. */
export interface WantedKnock {
  readonly roomId: RoomId
  readonly userId: UserId
  /** The values of `ver`. */
  readonly versions: readonly string[]
  readonly reason: string | undefined
}

export type TemplateResult =
  | { readonly ok: true; readonly version: RoomVersion; readonly event: JsonObject }
  /** The template is not what was asked for: it is thrown away unsigned. */
  | { readonly ok: false; readonly reason: string }

/**
 * The caller's checks on the answer of make_knock: whoever signs without them signs whatever the resident likes.
 * @param answer the body of the 200
 */
export function checkTemplate(answer: JsonObject | undefined, wanted: WantedKnock): TemplateResult {
  const event = answer?.event
  const name = answer?.room_version
  if (!isJsonObject(event) || typeof name !== 'string') return discard('the answer has no room_version or no event')
  if (!wanted.versions.includes(name)) return discard(`room_version ${name} was not among those offered`)
  const version = roomVersion(name)
  if (version === undefined) return discard(`room version ${name} is unknown here`)
  if (event.room_id !== wanted.roomId) return discard('room_id is not the room that was asked for')
  if (event.sender !== wanted.userId) return discard('sender is not the user who knocks')
  if (event.state_key !== wanted.userId) return discard('state_key is not the user who knocks')
  if (event.type !== 'm.room.member') return discard('type is not m.room.member')
  if (!isJsonObject(event.content) || event.content.membership !== 'knock') return discard('membership is not knock')
  return { ok: true, version, event }
}

function discard(reason: string): TemplateResult {
  return { ok: false, reason }
}

export type SignedKnock =
  | { readonly ok: true; readonly eventId: EventId; readonly pdu: Pdu }
  | { readonly ok: false; readonly reason: string }

/** Hashes and signs a template that has passed the checks. What a template has no business to carry is left out. */
export function signKnock(
  template: JsonObject,
  version: RoomVersion,
  reason: string | undefined,
  { serverName, key }: Requester,
): SignedKnock {
  const bare = without(template, ['hashes', 'signatures', 'unsigned', 'event_id'])
  const draft = { ...bare, content: { membership: 'knock', ...(reason !== undefined && { reason }) } }
  const hashed = { ...draft, hashes: { sha256: encodeBase64(contentHash(draft)) }, signatures: {} }
  const format = checkPduFormat(hashed, version)
  if (!format.ok) return { ok: false, reason: format.error }
  const signature = encodeBase64(nativeEd25519.sign(key, signedForm(format.pdu, version)))
  const pdu = { ...format.pdu, signatures: { [serverName]: { [key.keyId]: signature } } }
  return { ok: true, eventId: eventId(pdu, version), pdu }
}

/** One entry of `knock_room_state`, and what is wrong with it if something is. */
export interface StateEntry {
  readonly type: string
  readonly eventId: EventId | undefined
  readonly flaw: string | undefined
}

export interface RoomStateCheck {
  readonly entries: readonly StateEntry[]
  /** Why the answer as a whole breaks the protocol. */
  readonly flaw: string | undefined
}

/** Checks the answer of send_knock: whole events in the room version's format, the create event among them. */
export function checkRoomState(answer: JsonObject | undefined, version: RoomVersion, roomId: RoomId): RoomStateCheck {
  const list = answer?.knock_room_state
  if (!Array.isArray(list)) return { entries: [], flaw: 'knock_room_state is missing' }
  const entries = list.map((value: JsonValue) => checkEntry(value, version, roomId))
  const create = entries.find(({ type, flaw }) => type === 'm.room.create' && flaw === undefined)
  if (create === undefined) return { entries, flaw: 'knock_room_state has no usable create event' }
  return { entries, flaw: entries.some(({ flaw }) => flaw) ? 'knock_room_state has unusable events' : undefined }
}

function checkEntry(value: JsonValue, version: RoomVersion, roomId: RoomId): StateEntry {
  const type = isJsonObject(value) && typeof value.type === 'string' ? value.type : '(no type)'
  if (!isJsonObject(value)) return { type, eventId: undefined, flaw: 'not an object' }
  const format = checkPduFormat(value, version)
  if (!format.ok) return { type, eventId: undefined, flaw: format.error }
  const id = eventId(format.pdu, version)
  return { type, eventId: id, flaw: entryFlaw(format.pdu, id, version, roomId) }
}

function entryFlaw(pdu: Pdu, id: EventId, version: RoomVersion, roomId: RoomId): string | undefined {
  if (pdu.state_key !== '') return 'not room state'
  const impliesRoom = version.hashRoomId && pdu.type === 'm.room.create'
  if (impliesRoom ? `!${id.slice(1)}` !== roomId : pdu.room_id !== roomId) return 'of another room'
  return contentHashHolds(pdu) || isRedacted(pdu, version) ? undefined : 'the content hash does not hold'
}

/** A redacted event keeps the hash of what it was. */
function isRedacted(pdu: Pdu, version: RoomVersion): boolean {
  return Buffer.compare(contentHash(pdu), contentHash(redact(pdu, version))) === 0
}
