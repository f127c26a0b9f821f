/**
 * The canonical texts of an event, each value walked once: the whole of it, what its signatures and its id cover, and what
 * its content hash covers. https://spec.matrix.org/latest/server-server-api/#signing-events
 */
import { createHash } from 'node:crypto'
import { canonicalJsonText, compareCodePoints } from './canonical-json.ts'
import type { Pdu } from './event.ts'
import { redact } from './redaction.ts'
import type { RoomVersion } from './room-versions.ts'

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

export function eventTexts(pdu: Pdu, version: RoomVersion): EventTexts {
  const redacted = redact(pdu, version)
  const keys = Object.keys(pdu).sort(compareCodePoints)
  const members = keys.map((key) => [key, memberText(key, pdu)] as const)
  const kept = members
    .filter(([key]) => redacted[key] !== undefined)
    .map(([key, text]) => [key, redacted[key] === pdu[key] ? text : memberText(key, redacted)] as const)
  const whole = objectText(members, [])
  return {
    whole,
    json: pdu.unsigned === undefined ? whole : objectText(members, ['unsigned']),
    redactedJson: objectText(kept, []),
    signedBytes: Buffer.from(objectText(kept, ['signatures', 'unsigned'])),
    contentHash: createHash('sha256')
      .update(objectText(members, ['signatures', 'hashes', 'unsigned']))
      .digest(),
  }
}

function memberText(key: string, object: Pdu): string {
  return `${canonicalJsonText(key)}:${canonicalJsonText(object[key] ?? null)}`
}

function objectText(members: readonly (readonly [string, string])[], without: readonly string[]): string {
  let text = ''
  for (const [key, member] of members) {
    if (!without.includes(key)) text += text === '' ? member : `,${member}`
  }
  return `{${text}}`
}
