/**
 * The hashes of events, their ids, and the canonical texts that hashes and signatures cover.
 * https://spec.matrix.org/latest/server-server-api/#signing-events
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { decodeBase64, encodeBase64, encodeBase64Url } from './base64.ts'
import {
  type CanonicalMembers,
  canonicalJson,
  canonicalMember,
  canonicalMembers,
  canonicalObject,
} from './canonical-json.ts'
import type { EventId } from './identifiers.ts'
import type { JsonObject } from './json.ts'
import type { Pdu } from './pdu.ts'
import { redact } from './redaction.ts'
import type { RoomVersion } from './room-versions.ts'
import { signedBytes, without } from './signed-json.ts'

/**
 * The bytes that signatures and the reference hash of an event cover: its redacted form without `signatures` and
 * `unsigned`. https://spec.matrix.org/latest/server-server-api/#signing-events
 */
export function signedForm(pdu: Pdu, version: RoomVersion): Buffer {
  return signedBytes(redact(pdu, version))
}

/** The event id that belongs to a signed form. https://spec.matrix.org/latest/server-server-api/#calculating-the-reference-hash-for-an-event */
export function eventIdOfSignedForm(bytes: Uint8Array, version: RoomVersion): EventId {
  const hash = createHash('sha256').update(bytes).digest()
  return `$${version.eventId === 'hash-base64' ? encodeBase64(hash) : encodeBase64Url(hash)}` as EventId
}

/** An event's id: computed, or in versions 1 and 2 as the PDU says. */
export function eventId(pdu: Pdu, version: RoomVersion): EventId {
  if (version.eventId === 'in-pdu') return pdu.event_id as EventId
  return eventIdOfSignedForm(signedForm(pdu, version), version)
}

/** The SHA-256 of an event without `unsigned`, `signatures` and `hashes`. https://spec.matrix.org/latest/server-server-api/#calculating-the-content-hash-for-an-event */
export function contentHash(object: JsonObject): Buffer {
  return createHash('sha256')
    .update(canonicalJson(without(object, ['unsigned', 'signatures', 'hashes'])))
    .digest()
}

/** Whether `hashes.sha256` is the event's content hash. Where it is not, only the redacted copy may be used. */
export function contentHashHolds(pdu: Pdu): boolean {
  return isContentHash(pdu, contentHash(pdu))
}

/** Whether `hashes.sha256` is this hash, the event's. */
export function isContentHash(pdu: Pdu, hash: Uint8Array): boolean {
  const claimed = decodeBase64(pdu.hashes.sha256)
  return claimed?.length === hash.length && timingSafeEqual(claimed, hash)
}

/** The canonical texts of an event, each value walked once. */
export interface EventTexts {
  /** The whole event, as it came. */
  readonly whole: string
  /** The event without `unsigned`, as it is kept. */
  readonly json: string
  /** Its redacted form with its signatures. */
  readonly redactedJson: string
  /** As `signedForm` has it. */
  readonly signedBytes: Buffer
  /** As `contentHash` has it. */
  readonly contentHash: Buffer
}

/**
 * The whole event, what is kept of it, what its signatures and its id cover, and its content hash, in one walk.
 * @param members the event taken apart, where that was done before
 */
export function eventTexts(pdu: Pdu, version: RoomVersion, members = canonicalMembers(pdu)): EventTexts {
  const redacted = redact(pdu, version)
  const kept: CanonicalMembers = members
    .filter(([key]) => redacted[key] !== undefined)
    .map(
      ([key, text]) => [key, redacted[key] === pdu[key] ? text : canonicalMember(key, redacted[key] ?? null)] as const,
    )
  const whole = canonicalObject(members)
  return {
    whole,
    json: pdu.unsigned === undefined ? whole : canonicalObject(members, ['unsigned']),
    redactedJson: canonicalObject(kept),
    signedBytes: Buffer.from(canonicalObject(kept, ['signatures', 'unsigned'])),
    contentHash: createHash('sha256')
      .update(canonicalObject(members, ['signatures', 'hashes', 'unsigned']))
      .digest(),
  }
}
