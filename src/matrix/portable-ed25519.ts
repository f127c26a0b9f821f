/**
 * What tweetnacl does of Ed25519: the key pair of a seed, and all of it where OpenSSL offers none. Apart from ed25519.ts, so
 * that what only verifies does not load it. https://spec.matrix.org/latest/appendices/#signing-details
 */
import nacl from 'tweetnacl'
import { type Ed25519, KEY_BYTES, SIGNATURE_BYTES, type SigningKey } from './ed25519.ts'
import type { KeyId } from './identifiers.ts'

/** The key pair of a seed. @param seed 32 bytes */
export function signingKeyFromSeed(keyId: KeyId, seed: Uint8Array): SigningKey {
  const pair = nacl.sign.keyPair.fromSeed(seed)
  return { keyId, seed, publicKey: pair.publicKey, secretKey: pair.secretKey }
}

/** tweetnacl, in plain JavaScript on the calling thread. */
export const portableEd25519: Ed25519 = {
  async verify(publicKey, message, signature) {
    if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false
    return isReducedScalar(signature.subarray(KEY_BYTES)) && nacl.sign.detached.verify(message, signature, publicKey)
  },
  sign(key, message) {
    return nacl.sign.detached(message, key.secretKey)
  },
}

/** The group order L = 2^252 + 27742317777372353535851937790883648493, little-endian. */
const GROUP_ORDER = Buffer.from('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'hex')

/** tweetnacl takes S + L for S as well, so that anyone could make a second signature from a first: RFC 8032 5.1.7. */
function isReducedScalar(scalar: Uint8Array): boolean {
  for (let at = KEY_BYTES - 1; at >= 0; at--) {
    const difference = (scalar[at] ?? 0) - (GROUP_ORDER[at] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
