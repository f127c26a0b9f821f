/**
 * Persistent data units (PDUs): their format check, hashes and ids.
 * https://spec.matrix.org/latest/server-server-api/#pdus
 */
import type { EventId } from './identifiers.ts'
import type { JsonObject } from './json.ts'

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
  readonly prev_events: readonly EventId[]
  readonly auth_events: readonly EventId[]
  readonly hashes: JsonObject & { readonly sha256: string }
  readonly signatures: { readonly [server: string]: { readonly [keyId: string]: string } }
}
