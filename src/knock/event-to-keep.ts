/** The copy of a knock that is judged, recorded, handed over and delivered: what its sender's server signed, and no more. */
import { decodeBase64, encodeBase64 } from '../matrix/base64.ts'
import { contentHashHolds, type Pdu, type RoomEvent } from '../matrix/event.ts'
import { redact } from '../matrix/redaction.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { without } from '../matrix/signed-json.ts'
import type { SubmittedKnock } from './knock-event.ts'

/**
 * Without `unsigned`, redacted where the content hash is wrong, and with the signatures that can be read, unpadded: for
 * one that is no base64 some homeservers drop the event, whoever made it.
 */
export function eventToKeep({ pdu, eventId }: SubmittedKnock, version: RoomVersion): RoomEvent {
  const kept = contentHashHolds(pdu) ? (without(pdu, ['unsigned']) as Pdu) : redact(pdu, version)
  return { eventId, pdu: { ...kept, signatures: readable(pdu.signatures) } }
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
