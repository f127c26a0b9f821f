/**
 * Reference for content hashes, reference hashes and event ids.
 * https://spec.matrix.org/v1.19/server-server-api/#calculating-the-content-hash-for-an-event
 */
import { createHash } from 'node:crypto'
import { oracleCanonicalText } from './canonical-json.ts'
import { type OracleObject, objectOf, own } from './json-value.ts'
import { oracleRedact } from './redaction.ts'

function without(object: OracleObject, keys: readonly string[]): OracleObject {
  return objectOf(Object.entries(object).filter(([key]) => !keys.includes(key)))
}

function sha256(object: OracleObject): Buffer {
  return createHash('sha256')
    .update(Buffer.from(oracleCanonicalText(object), 'utf8'))
    .digest()
}

/** Standard base64 without padding. */
export function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}

/** The content hash, unpadded base64 as in `hashes.sha256`. */
export function oracleContentHash(event: OracleObject): string {
  return unpadded(sha256(without(event, ['unsigned', 'signatures', 'hashes'])))
}

/** What a server signs of an event: the redacted form without `signatures` and `unsigned`. */
export function oracleSignedForm(event: OracleObject, version: string): OracleObject {
  return without(oracleRedact(event, version), ['signatures', 'unsigned'])
}

/** The event id: stated in versions 1 and 2, the reference hash in all later ones. */
export function oracleEventId(event: OracleObject, version: string): string {
  if (version === '1' || version === '2') return String(own(event, 'event_id'))
  const hash = unpadded(sha256(oracleSignedForm(event, version)))
  return version === '3' ? `$${hash}` : `$${hash.replaceAll('+', '-').replaceAll('/', '_')}`
}
