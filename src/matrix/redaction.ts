/**
 * The redaction algorithm of each room version: what of an event its signatures and its id cover.
 * https://spec.matrix.org/latest/rooms/v11/#redactions and its sisters
 */
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import type { Pdu } from './pdu.ts'
import type { RoomVersion } from './room-versions.ts'

/** A copy of an event with only the keys that its room version protects. `unsigned` goes, `content` stays an object. */
export function redact(pdu: Pdu, version: RoomVersion): Pdu {
  const { topLevel } = version.redaction
  const kept: Record<string, JsonValue | undefined> = Object.create(null)
  for (const key of Object.keys(pdu)) {
    if (topLevel.has(key)) kept[key] = pdu[key]
  }
  kept.content = redactContent(pdu, version)
  return kept as Pdu
}

function redactContent(pdu: Pdu, version: RoomVersion): JsonObject {
  const { content: rules, keepsThirdPartyInviteSigned } = version.redaction
  const allowed = Object.hasOwn(rules, pdu.type) ? rules[pdu.type] : undefined
  if (allowed === 'all') return pdu.content
  const kept: Record<string, JsonValue | undefined> = Object.create(null)
  for (const key of allowed ?? []) {
    if (Object.hasOwn(pdu.content, key)) kept[key] = pdu.content[key]
  }
  if (keepsThirdPartyInviteSigned && pdu.type === 'm.room.member') {
    const invite = pdu.content.third_party_invite
    if (isJsonObject(invite)) kept.third_party_invite = signedOf(invite)
  }
  return kept
}

/** An invite without `signed` leaves an empty object, as the widest deployed server has it; the text leaves it open. */
function signedOf(invite: JsonObject): JsonObject {
  return Object.hasOwn(invite, 'signed') ? { signed: invite.signed } : {}
}
