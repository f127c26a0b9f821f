/**
 * Persistent data units (PDUs): what an event is, and the events that it names.
 * https://spec.matrix.org/latest/server-server-api/#pdus
 */
import type { EventId } from './identifiers.ts'
import type { JsonObject, JsonValue } from './json.ts'

/**
 * An event in the format of its room version, every key as it was received. The named keys have passed the format
 * check; a version 12 create event has no `room_id`.
 */
export interface Pdu extends JsonObject {
  readonly room_id?: string
  readonly sender: string
  readonly type: string
  readonly state_key?: string
  readonly content: JsonObject
  readonly origin_server_ts: number
  readonly depth: number
  /** Event ids; in versions 1 and 2 pairs of id and hashes: read them with prevEventIds. */
  readonly prev_events: readonly JsonValue[]
  readonly auth_events: readonly JsonValue[]
  readonly hashes: JsonObject & { readonly sha256: string }
  readonly signatures: { readonly [server: string]: { readonly [keyId: string]: string } }
}

/** One event of a room: its id beside its PDU, because PDUs of version 3 and later do not carry one. */
export interface RoomEvent {
  readonly eventId: EventId
  readonly pdu: Pdu
  /** The PDU as canonical JSON, where it is at hand. */
  readonly json?: string
}

/** The ids that `prev_events` names, in every room version. */
export function prevEventIds(pdu: Pdu): readonly EventId[] {
  return pdu.prev_events.map(referencedId)
}

/** The ids that `auth_events` names, in every room version. */
export function authEventIds(pdu: Pdu): readonly EventId[] {
  return pdu.auth_events.map(referencedId)
}

function referencedId(reference: JsonValue): EventId {
  return (Array.isArray(reference) ? reference[0] : reference) as EventId
}
