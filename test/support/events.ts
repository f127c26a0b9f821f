/**
 * A second implementation of event redaction, hashes and ids for room versions 6 to 12, apart from the one under test.
 * https://spec.matrix.org/latest/server-server-api/#signing-events
 */
import {
  base64,
  canonical,
  type Identity,
  type Json,
  type JsonRecord,
  omit,
  sha256,
  signable,
  withSignature,
} from './signing.ts'

export const KNOCKABLE_VERSIONS = ['7', '8', '9', '10', '11', '12'] as const
/** Version 6 is there to be refused: nobody can knock in it. */
export type TestedVersion = (typeof KNOCKABLE_VERSIONS)[number] | '6'

export interface SignedEvent {
  readonly eventId: string
  readonly pdu: JsonRecord
}

const KEPT_ALWAYS =
  'event_id type room_id sender state_key content hashes signatures depth prev_events auth_events origin_server_ts'
const KEPT_UP_TO_10 = 'prev_state origin membership'
const POWER_LEVELS = 'ban events events_default kick redact state_default users users_default'

/** The keys of `content` that survive redaction. */
function keptContent(type: Json | undefined, version: TestedVersion): string {
  const number = Number(version)
  if (type === 'm.room.member') return number >= 9 ? 'membership join_authorised_via_users_server' : 'membership'
  if (type === 'm.room.create') return 'creator'
  if (type === 'm.room.join_rules') return number >= 8 ? 'join_rule allow' : 'join_rule'
  if (type === 'm.room.power_levels') return number >= 11 ? `${POWER_LEVELS} invite` : POWER_LEVELS
  if (type === 'm.room.history_visibility') return 'history_visibility'
  if (type === 'm.room.redaction' && number >= 11) return 'redacts'
  return ''
}

/** A redacted copy of an event. */
export function redacted(pdu: JsonRecord, version: TestedVersion): JsonRecord {
  const modern = version === '11' || version === '12'
  const top = pick(pdu, modern ? KEPT_ALWAYS : `${KEPT_ALWAYS} ${KEPT_UP_TO_10}`)
  const content = (pdu.content ?? {}) as JsonRecord
  if (modern && pdu.type === 'm.room.create') return { ...top, content }
  const kept = { ...pick(content, keptContent(pdu.type, version)) }
  const invite = content.third_party_invite as JsonRecord | undefined
  if (modern && pdu.type === 'm.room.member' && invite !== undefined) {
    return { ...top, content: { ...kept, third_party_invite: pick(invite, 'signed') } }
  }
  return { ...top, content: kept }
}

function pick(object: JsonRecord, keys: string): JsonRecord {
  const wanted = keys.split(' ')
  return Object.fromEntries(Object.entries(object).filter(([key]) => wanted.includes(key)))
}

/** The text that the signatures and the id of an event cover. */
export function eventSignable(pdu: JsonRecord, version: TestedVersion): string {
  return signable(redacted(pdu, version))
}

/** An event's id: the hash of its redacted form. */
export function idOf(pdu: JsonRecord, version: TestedVersion): string {
  return `$${sha256(eventSignable(pdu, version)).toString('base64url')}`
}

/** The content hash of an event, base64. */
export function contentHashOf(pdu: JsonRecord): string {
  return base64(sha256(canonical(omit(pdu, 'unsigned', 'signatures', 'hashes'))))
}

/** Hashes and signs an event, and names it. */
export function finishEvent(draft: JsonRecord, version: TestedVersion, ...signers: readonly Identity[]): SignedEvent {
  const hashed: JsonRecord = { ...draft, hashes: { sha256: contentHashOf(draft) } }
  return signAsItIs(hashed, version, ...signers)
}

/** Signs an event whose hashes are there already, right or wrong, and names it. */
export function signAsItIs(hashed: JsonRecord, version: TestedVersion, ...signers: readonly Identity[]): SignedEvent {
  const text = eventSignable(hashed, version)
  const empty: JsonRecord = { ...hashed, signatures: hashed.signatures ?? {} }
  const pdu = signers.reduce((event, signer) => withSignature(event, signer, text), empty)
  return { eventId: idOf(pdu, version), pdu }
}
