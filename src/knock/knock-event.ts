/**
 * What a submitted knock must be before any rule of the room is asked: its format, its shape, its ids.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1send_knockroomideventid
 */
import type { CanonicalMembers } from '../matrix/canonical-json.ts'
import { checkPduFormat } from '../matrix/event-format.ts'
import { type EventTexts, eventIdOfSignedForm } from '../matrix/event-hashes.ts'
import {
  type EventId,
  parseUserId,
  type RoomId,
  type ServerName,
  serverNameOf,
  type UserId,
} from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { Pdu } from '../matrix/pdu.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { droppedShape } from './dropped-shapes.ts'

/** A knock in shape: nothing is said yet of its signature, its content hash or the room's rules. */
export interface SubmittedKnock {
  readonly ok: true
  readonly pdu: Pdu
  readonly eventId: EventId
  readonly sender: UserId
  readonly texts: EventTexts
  /** The bytes that its signatures cover. */
  readonly signedBytes: Uint8Array
}

export interface Submission {
  readonly origin: ServerName
  readonly roomId: RoomId
  /** The event id of the path. */
  readonly eventId: EventId
  readonly body: JsonObject
  /** The body taken apart, where that was done before. */
  readonly members?: CanonicalMembers
}

/** Checks the body of a send_knock. Structural faults are 400 whatever the rules of the room would say. */
export function checkSubmittedKnock(submission: Submission, version: RoomVersion): SubmittedKnock | Refusal {
  const format = checkPduFormat(submission.body, version, submission.members)
  if (!format.ok) return format
  const { pdu, texts } = format
  const sender = parseUserId(pdu.sender)
  if (sender === undefined) return refusal('M_BAD_JSON', 'sender is not a user id', 'event format: sender')
  const flaw = shapeFlaw(pdu, sender, submission)
  if (flaw !== undefined) return flaw
  const dropped = droppedShape(pdu, texts.whole, version)
  if (dropped !== undefined) return refusal('M_BAD_JSON', dropped, 'event format: what homeservers read')
  // Implementations disagree on how it is redacted, and so on the event's id; no knock has a use for it.
  if (version.redaction.keepsThirdPartyInviteSigned && Object.hasOwn(pdu.content, 'third_party_invite')) {
    return invalid('A knock has no third_party_invite', 'redaction of third_party_invite')
  }
  const { signedBytes } = texts
  const eventId = eventIdOfSignedForm(signedBytes, version)
  if (eventId !== submission.eventId) {
    return WRONG_EVENT_ID
  }
  return { ok: true, pdu, eventId, sender, texts, signedBytes }
}

/** Also what comes out where an event is looked at in another version than that of its room. */
export const WRONG_EVENT_ID = invalid('The event id is not that of the path', 'send_knock: event id of the path')

function shapeFlaw(pdu: Pdu, sender: UserId, { origin, roomId }: Submission): Refusal | undefined {
  if (pdu.type !== 'm.room.member') return invalid('Not a knock event', 'send_knock: type m.room.member')
  if (pdu.content.membership !== 'knock') return invalid('Not a knock event', 'send_knock: membership knock')
  if (pdu.state_key === undefined) return invalid('state_key is missing', 'send_knock: state_key = sender')
  if (serverNameOf(sender) !== origin) {
    return invalid('The sender does not belong to the requesting server', 'send_knock: sender of the origin')
  }
  if (pdu.state_key !== pdu.sender) return invalid('state_key is not the sender', 'send_knock: state_key = sender')
  if (pdu.room_id !== roomId) return invalid('room_id is not that of the path', 'send_knock: room id of the path')
  return undefined
}

function invalid(error: string, rule: string): Refusal {
  return refusal('M_INVALID_PARAM', error, rule)
}
