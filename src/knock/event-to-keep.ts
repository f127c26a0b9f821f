/** The copy of a knock that is judged, recorded, handed over and delivered: what its sender's server signed, and no more. */
import { decodeBase64, encodeBase64 } from '../matrix/base64.ts'
import { isContentHash } from '../matrix/event-hashes.ts'
import type { Pdu, RoomEvent } from '../matrix/pdu.ts'
import { redact } from '../matrix/redaction.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { without } from '../matrix/signed-json.ts'
import type { SubmittedKnock } from './knock-event.ts'

/**
 * Without `unsigned`, redacted where the content hash is wrong, and with the signatures that can be read, unpadded: for
 * one that is no base64 some homeservers drop the event, whoever made it.
 */
export function eventToKeep({ pdu, texts, eventId }: SubmittedKnock, version: RoomVersion): RoomEvent {
  const isWhole = isContentHash(pdu, texts.contentHash)
  const kept = isWhole ? (without(pdu, ['unsigned']) as Pdu) : redact(pdu, version)
  if (areUnpadded(pdu.signatures)) return { eventId, pdu: kept, json: isWhole ? texts.json : texts.redactedJson }
  return { eventId, pdu: { ...kept, signatures: readable(pdu.signatures) } }
}

/** An Ed25519 signature in the one form that everybody reads: no padding, and no bit set beyond its 64 bytes. */
const UNPADDED = /^[A-Za-z0-9+/]{85}[AQgw]$/

function areUnpadded(signatures: Pdu['signatures']): boolean {
  return Object.values(signatures).every((byKey) => {
    const ofServer = Object.values(byKey)
    return ofServer.length > 0 && ofServer.every((signature) => UNPADDED.test(signature))
  })
}

function readable(signatures: Pdu['signatures']): Pdu['signatures'] {
  const servers = Object.entries(signatures).map(([server, byKey]) => {
    const read = Object.entries(byKey).flatMap(([keyId, signature]) => {
      const bytes = decodeBase64(signature)
      return bytes === undefined ? [] : [[keyId, encodeBase64(bytes)] as const]
    })
    return [server, Object.fromEntries(read)] as const
  })
  return Object.fromEntries(servers.filter(([, byKey]) => Object.keys(byKey).length > 0))
}
