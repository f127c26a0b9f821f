/**
 * Ed25519 as Node's OpenSSL does it, and the contract that it shares with the provider of portable-ed25519.ts.
 * https://spec.matrix.org/latest/appendices/#signing-details
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import type { KeyId } from './identifiers.ts'

/** A server's own signing key, derived from its 32-byte seed. */
export interface SigningKey {
  readonly keyId: KeyId
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
  /** Seed and public key, 64 bytes, as NaCl keeps a secret key. */
  readonly secretKey: Uint8Array
}

export interface Ed25519 {
  /**
   * Whether a signature is good. Wrong lengths and keys that are no curve point are a plain `false`.
   * @param publicKey 32 bytes
   * @param signature 64 bytes
   */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean>
  sign(key: SigningKey, message: Uint8Array): Uint8Array
}

/** Lengths, in bytes. */
export const KEY_BYTES = 32
export const SIGNATURE_BYTES = 64
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** OpenSSL, verifying on Node's thread pool. */
export const nativeEd25519: Ed25519 = {
  verify(publicKey, message, signature) {
    if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return Promise.resolve(false)
    return new Promise((resolve) => {
      verify(null, message, publicKeyObject(publicKey), signature, (error, good) => resolve(error === null && good))
    })
  },
  sign(key, message) {
    const der = Buffer.concat([PKCS8_PREFIX, key.seed])
    return sign(null, message, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
  },
}

/**
 * OpenSSL, verifying on the calling thread, which it holds for as long as that takes.
 * @returns as `Ed25519.verify` does
 */
export function verifyHere(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false
  return verify(null, message, publicKeyObject(publicKey), signature)
}

/** Key objects of the byte arrays in use: building one costs as much as hashing an event. */
const keyObjects = new WeakMap<Uint8Array, KeyObject>()

function publicKeyObject(publicKey: Uint8Array): KeyObject {
  const known = keyObjects.get(publicKey)
  if (known !== undefined) return known
  const made = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
  keyObjects.set(publicKey, made)
  return made
}

/** The y coordinates of the eight points of small order, little-endian, with their non-canonical encodings. */
const SMALL_ORDER_Y = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

/**
 * Whether a public key is a point of small order: such a key has signatures that hold for any message, so it is
 * refused when a key is taken over.
 * @param publicKey 32 bytes
 */
export function isSmallOrder(publicKey: Uint8Array): boolean {
  const y = Buffer.from(publicKey)
  y[KEY_BYTES - 1] = (y[KEY_BYTES - 1] ?? 0) & 0x7f
  return SMALL_ORDER_Y.has(y.toString('hex'))
}
