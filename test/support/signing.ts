/**
 * A second implementation of canonical JSON, Ed25519 signatures and X-Matrix, apart from the one under test.
 * https://spec.matrix.org/latest/appendices/#signing-json
 */
import { createHash, randomBytes } from 'node:crypto'
import nacl from 'tweetnacl'

export type Json = null | boolean | number | string | readonly Json[] | JsonRecord

export interface JsonRecord {
  readonly [key: string]: Json
}

/** A server that signs: its name and the key that it publishes. */
export interface Identity {
  readonly name: string
  readonly keyId: string
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
  readonly secretKey: Uint8Array
}

/** A server's identity with a fresh key, or with the key of a seed (32 bytes). */
export function createIdentity(name: string, keyId = 'ed25519:t_1', seed: Uint8Array = randomBytes(32)): Identity {
  const { publicKey, secretKey } = nacl.sign.keyPair.fromSeed(new Uint8Array(seed))
  return { name, keyId, seed, publicKey, secretKey }
}

/** The line that a homeserver keeps in its signing key file. */
export function signingKeyLine({ keyId, seed }: Identity): string {
  return `${keyId.replace(':', ' ')} ${base64(seed)}\n`
}

/** Canonical JSON as text. Keys are compared by their UTF-8 bytes, which is the order of code points. */
export function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value as JsonRecord).sort(([left], [right]) =>
    Buffer.compare(Buffer.from(left), Buffer.from(right)),
  )
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`
}

export function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Standard alphabet, no padding. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replaceAll('=', '')
}

export function omit(object: JsonRecord, ...keys: readonly string[]): JsonRecord {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)))
}

/** The text that a signature of the object covers. */
export function signable(object: JsonRecord): string {
  return canonical(omit(object, 'signatures', 'unsigned'))
}

/** The signature of a text, base64. */
export function signText(text: string, { secretKey }: Identity): string {
  return base64(nacl.sign.detached(Buffer.from(text), secretKey))
}

export function verifyText(text: string, signature: string, publicKey: Uint8Array): boolean {
  const bytes = Buffer.from(signature, 'base64')
  return bytes.length === 64 && nacl.sign.detached.verify(Buffer.from(text), bytes, publicKey)
}

/** A copy of the object with one more signature, over `text` where that differs from the object's own signable text. */
export function withSignature(object: JsonRecord, signer: Identity, text = signable(object)): JsonRecord {
  const signatures = (object.signatures ?? {}) as JsonRecord
  const theirs = (signatures[signer.name] ?? {}) as JsonRecord
  return {
    ...object,
    signatures: { ...signatures, [signer.name]: { ...theirs, [signer.keyId]: signText(text, signer) } },
  }
}

export interface RequestToSign {
  readonly method: string
  readonly uri: string
  readonly destination: string
  readonly content?: Json
}

/** The signature that authenticates a request. */
export function requestSignature(origin: Identity, request: RequestToSign): string {
  return signText(canonical({ ...request, origin: origin.name }), origin)
}

/** The Authorization header of a request. */
export function authorization(origin: Identity, request: RequestToSign): string {
  const { name, keyId } = origin
  const signature = requestSignature(origin, request)
  return `X-Matrix origin="${name}",destination="${request.destination}",key="${keyId}",sig="${signature}"`
}
