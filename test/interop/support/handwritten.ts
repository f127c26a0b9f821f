/**
 * Events whose text no JSON writer would write: numbers as they are spelt, keys twice, bytes that are no UTF-8. Texts are
 * one character a byte here. Each homeserver hashes what it makes of a text, so such a place says what is hashed for it.
 */
import { createHash } from 'node:crypto'
import nacl from 'tweetnacl'
import { redacted, type TestedVersion } from '../../support/events.ts'
import type { Answer } from '../../support/http-client.ts'
import { base64, canonical, type Identity, type JsonRecord, omit } from '../../support/signing.ts'
import type { Homeserver } from './homeserver.ts'
import { send } from './web-request.ts'

export interface Handwritten {
  readonly eventId: string
  readonly pdu: JsonRecord
}

/** What a homeserver makes of a text where that is not the text itself. */
type Reading = Partial<Record<Homeserver['kind'], string>>

interface Place extends Reading {
  readonly sent: string
}

const PLACE = /"handwritten:([\w-]+)"/g

/** A value that is sent as this text, one character a byte. @param read what homeservers hash in its place */
export function written(sent: string, read: Reading = {}): string {
  return `handwritten:${Buffer.from(JSON.stringify({ sent, ...read })).toString('base64url')}`
}

/** Canonical JSON as it is sent, or as a homeserver hashes it. */
function textOf(value: JsonRecord, reader: Homeserver['kind'] | 'sent'): string {
  const text = Buffer.from(canonical(value)).toString('latin1')
  return text.replace(PLACE, (_, place: string) => {
    const { sent, ...read } = JSON.parse(Buffer.from(place, 'base64url').toString()) as Place
    return reader === 'sent' ? sent : (read[reader] ?? sent)
  })
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function sign(text: string, { secretKey }: Identity): string {
  return base64(nacl.sign.detached(bytes(text), secretKey))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(bytes(text)).digest()
}

/** How an event is finished where that is not as usual. */
export interface Finish {
  /** Put beside the right hash, or in its place. */
  readonly hashes?: JsonRecord
  /** Signs too, under whatever name and key id. */
  readonly alsoSigns?: readonly Identity[]
  /** What happens to the signed event on its way. */
  readonly onTheWay?: (pdu: JsonRecord) => JsonRecord
}

/** Hashes, signs and names an event as the homeserver that is to read it does. */
export function finishByHand(
  draft: JsonRecord,
  version: TestedVersion,
  reader: Homeserver['kind'],
  signer: Identity,
  { hashes = {}, alsoSigns = [], onTheWay = (pdu) => pdu }: Finish = {},
): Handwritten {
  const hashed = { ...draft, hashes: { sha256: base64(sha256(textOf(omit(draft, 'unsigned'), reader))), ...hashes } }
  const text = textOf(omit(redacted(hashed, version), 'signatures', 'unsigned'), reader)
  const signatures = [signer, ...alsoSigns].map((by) => ({ by, signature: sign(text, by) }))
  const names = [...new Set(signatures.map(({ by }) => by.name))]
  const pdu: JsonRecord = {
    ...hashed,
    signatures: Object.fromEntries(
      names.map((name) => {
        const theirs = signatures.filter(({ by }) => by.name === name)
        return [name, Object.fromEntries(theirs.map(({ by, signature }) => [by.keyId, signature]))]
      }),
    ),
  }
  return { eventId: `$${sha256(text).toString('base64url')}`, pdu: onTheWay(pdu) }
}

/** Sends handwritten content to a homeserver's public name. */
export async function sendByHand(
  { kind, name, federationUrl }: Homeserver,
  ca: string,
  origin: Identity,
  path: string,
  content: JsonRecord,
): Promise<Answer> {
  const signed = { method: 'PUT', uri: path, destination: name, origin: origin.name }
  const signature = sign(textOf({ ...signed, content }, kind), origin)
  const line = `X-Matrix origin="${origin.name}",destination="${name}",key="${origin.keyId}",sig="${signature}"`
  const headers = { authorization: line }
  return send({ url: federationUrl, ca }, 'PUT', path, headers, bytes(textOf(content, 'sent')))
}
