/** `matrix-knock/event`: the format, redaction, hashes and ids of events, in every room version. */
export { checkPduFormat, MAX_AUTH_EVENTS, MAX_DEPTH, MAX_PDU_BYTES, MAX_PREV_EVENTS } from '../event-format.ts'
export { contentHash, contentHashHolds, eventId, signedForm } from '../event-hashes.ts'
export {
  type EventId,
  isRoomVersionId,
  parseEventId,
  parseRoomId,
  parseServerName,
  parseUserId,
  type RoomId,
  type ServerName,
  serverNameOf,
  type UserId,
} from '../identifiers.ts'
export { authEventIds, type Pdu, prevEventIds, type RoomEvent } from '../pdu.ts'
export { redact } from '../redaction.ts'
export type { ErrorCode, Refusal } from '../refusal.ts'
export { type RedactionRules, ROOM_VERSIONS, type RoomVersion, roomVersion } from '../room-versions.ts'
