/**
 * Signing JSON objects and finding the signatures that one carries.
 * https://spec.matrix.org/latest/appendices/#signing-json
 */
import { decodeBase64, encodeBase64 } from './base64.ts'
import { canonicalJson } from './canonical-json.ts'
import type { Ed25519, SigningKey } from './ed25519.ts'
import type { ServerName } from './identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'

/** What a signature of an object covers: its canonical form without `signatures` and `unsigned`. */
export function signedBytes(object: JsonObject): Buffer {
  return canonicalJson(without(object, ['signatures', 'unsigned']))
}

/** A copy of the object without some of its keys. */
export function without(object: JsonObject, keys: readonly string[]): JsonObject {
  const copy: Record<string, JsonValue | undefined> = Object.create(null)
  for (const key of Object.keys(object)) {
    if (!keys.includes(key)) copy[key] = object[key]
  }
  return copy
}

/** A copy of the object with our signature added to those that it has. */
export function signJson(object: JsonObject, server: ServerName, key: SigningKey, ed25519: Ed25519): JsonObject {
  const signature = encodeBase64(ed25519.sign(key, signedBytes(object)))
  const signatures = isJsonObject(object.signatures) ? object.signatures : {}
  const ours = isJsonObject(signatures[server]) ? signatures[server] : {}
  return { ...object, signatures: { ...signatures, [server]: { ...ours, [key.keyId]: signature } } }
}

/** A server's signatures on an object: key id to base64. Entries that are not strings are left out. */
export function signaturesBy(object: JsonObject, server: ServerName): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const signatures = object.signatures
  const theirs = isJsonObject(signatures) && Object.hasOwn(signatures, server) ? signatures[server] : undefined
  if (!isJsonObject(theirs)) return found
  for (const [keyId, signature] of Object.entries(theirs)) {
    if (typeof signature === 'string') found.set(keyId, signature)
  }
  return found
}

/** A signature in base64 beside the public key that should have made it. */
export interface SignatureWithKey {
  readonly signature: string
  readonly publicKey: Uint8Array
}

/**
 * Whether every one of these signatures is good, and there is at least one: signatures by keys that are unknown or out
 * of their time are left out by the caller, and none of the rest may be wrong.
 * @see https://spec.matrix.org/latest/appendices/#checking-for-a-signature
 */
export async function allVerify(
  signatures: readonly SignatureWithKey[],
  message: Uint8Array,
  ed25519: Ed25519,
): Promise<boolean> {
  if (signatures.length === 0) return false
  const verdicts = await Promise.all(
    signatures.map(({ signature, publicKey }) => {
      const bytes = decodeBase64(signature)
      return bytes === undefined ? false : ed25519.verify(publicKey, message, bytes)
    }),
  )
  return verdicts.every(Boolean)
}
