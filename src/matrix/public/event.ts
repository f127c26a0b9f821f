/** `matrix-knock/event`: the format, redaction, hashes and ids of events, in every room version. */
export {
  authEventIds,
  checkPduFormat,
  contentHash,
  contentHashHolds,
  eventId,
  MAX_AUTH_EVENTS,
  MAX_DEPTH,
  MAX_PDU_BYTES,
  MAX_PREV_EVENTS,
  type Pdu,
  prevEventIds,
  type RoomEvent,
  signedForm,
} from '../event.ts'
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
export { redact } from '../redaction.ts'
export type { ErrorCode, Refusal } from '../refusal.ts'
export { type RedactionRules, ROOM_VERSIONS, type RoomVersion, roomVersion } from '../room-versions.ts'
