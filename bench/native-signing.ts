/**
 * Signatures in the numbers that a benchmark needs: by Node's own Ed25519, a hundred times as fast as the one that the
 * tests sign with. https://spec.matrix.org/latest/appendices/#signing-json
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { eventSignable, finishEvent, type SignedEvent } from '../test/support/events.ts'
import { base64, canonical, createIdentity, type Identity, type JsonRecord } from '../test/support/signing.ts'

/** A server that signs. */
export interface Signer {
  readonly identity: Identity
  readonly privateKey: KeyObject
}

export const ROOM_VERSION = '11'

const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

export function createSigner(name: string): Signer {
  const identity = createIdentity(name)
  const key = Buffer.concat([PKCS8_PREFIX, identity.seed])
  return { identity, privateKey: createPrivateKey({ key, format: 'der', type: 'pkcs8' }) }
}

/** The public key as X.509 SubjectPublicKeyInfo, DER. */
export function publicKeyDer({ privateKey }: Signer): Buffer {
  return createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
}

/** The signature of a text, base64. */
export function signText(text: string, { privateKey }: Signer): string {
  return base64(sign(null, Buffer.from(text), privateKey))
}

/** Hashes, signs and names an event. */
export function signEvent(draft: JsonRecord, signer: Signer): SignedEvent {
  const { eventId, pdu } = finishEvent(draft, ROOM_VERSION)
  const { name, keyId } = signer.identity
  const signature = signText(eventSignable(pdu, ROOM_VERSION), signer)
  return { eventId, pdu: { ...pdu, signatures: { [name]: { [keyId]: signature } } } }
}

/** One HTTP/1.1 request with its X-Matrix signature, as it goes on the wire. Everything in it is ASCII. */
export function signedRequest(
  origin: Signer,
  destination: string,
  { method, uri, content }: { readonly method: string; readonly uri: string; readonly content?: JsonRecord },
): string {
  const { name, keyId } = origin.identity
  const toSign = { method, uri, origin: name, destination, ...(content && { content }) }
  const signature = signText(canonical(toSign), origin)
  const body = content === undefined ? '' : canonical(content)
  const lines = [
    `${method} ${uri} HTTP/1.1`,
    `host: ${destination}`,
    `authorization: X-Matrix origin="${name}",destination="${destination}",key="${keyId}",sig="${signature}"`,
    ...(content === undefined ? [] : ['content-type: application/json', `content-length: ${body.length}`]),
  ]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}
