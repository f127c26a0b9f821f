import { describe, expect, it } from 'vitest'
import { decodeBase64, encodeBase64 } from '../../src/matrix/base64.ts'
import {
  type Ed25519,
  isSmallOrder,
  nativeEd25519,
  portableEd25519,
  signingKeyFromSeed,
} from '../../src/matrix/ed25519.ts'
import type { KeyId } from '../../src/matrix/identifiers.ts'
import { vectors } from './given.ts'

const SEED = decodeBase64(vectors<{ signing_key_seed: string }>('spec-appendix.json').signing_key_seed) as Uint8Array
const KEY = signingKeyFromSeed('ed25519:1' as KeyId, SEED)
const MESSAGE = Buffer.from('{"one":1,"two":"Two"}')
const SPEC_SIGNATURE = 'KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw'

/** The group order of Ed25519. */
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

/** The same signature with S + L for S: it satisfies the equation, and RFC 8032 refuses it. */
function malleated(signature: Uint8Array): Uint8Array {
  const scalar = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + ORDER
  const bytes = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse()
  return Buffer.concat([signature.subarray(0, 32), bytes])
}

function withScalar(signature: Uint8Array, scalar: bigint): Uint8Array {
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse()])
}

function changed(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

function contract(name: string, ed25519: Ed25519) {
  describe(name, () => {
    const signature = ed25519.sign(KEY, MESSAGE)

    it("D1 signs as the specification's appendix does", () => {
      expect(encodeBase64(signature)).toBe(SPEC_SIGNATURE)
    })

    it('verifies what it signed, of any length', async () => {
      for (const length of [0, 1, 63, 64, 65, 70_000]) {
        const message = Buffer.alloc(length, 7)
        expect(await ed25519.verify(KEY.publicKey, message, ed25519.sign(KEY, message))).toBe(true)
      }
    })

    it('refuses another message, another signature and another key', async () => {
      expect(await ed25519.verify(KEY.publicKey, changed(MESSAGE, 3), signature)).toBe(false)
      for (const at of [0, 31, 32, 63]) {
        expect(await ed25519.verify(KEY.publicKey, MESSAGE, changed(signature, at))).toBe(false)
      }
      expect(await ed25519.verify(changed(KEY.publicKey, 0), MESSAGE, signature)).toBe(false)
      const other = signingKeyFromSeed('ed25519:2' as KeyId, changed(SEED, 0))
      expect(await ed25519.verify(other.publicKey, MESSAGE, signature)).toBe(false)
    })

    it('refuses a malleated signature: S + L for S', async () => {
      expect(await ed25519.verify(KEY.publicKey, MESSAGE, malleated(signature))).toBe(false)
    })

    it('refuses S equal to the group order and S of all ones', async () => {
      expect(await ed25519.verify(KEY.publicKey, MESSAGE, withScalar(signature, ORDER))).toBe(false)
      expect(await ed25519.verify(KEY.publicKey, MESSAGE, withScalar(signature, 2n ** 256n - 1n))).toBe(false)
    })

    it.each([0, 31, 33, 64])('answers false for a key of %i bytes', async (length) => {
      expect(await ed25519.verify(Buffer.alloc(length, 1), MESSAGE, signature)).toBe(false)
    })

    it.each([0, 32, 63, 65, 128])('answers false for a signature of %i bytes', async (length) => {
      expect(await ed25519.verify(KEY.publicKey, MESSAGE, Buffer.alloc(length, 1))).toBe(false)
      expect(await ed25519.verify(KEY.publicKey, MESSAGE, Buffer.concat([signature, Buffer.alloc(1)]))).toBe(false)
    })

    it('answers false for a key that is no point of the curve', async () => {
      const noPoint = Buffer.alloc(32)
      noPoint[0] = 2
      expect(await ed25519.verify(noPoint, MESSAGE, signature)).toBe(false)
      expect(await ed25519.verify(Buffer.alloc(32, 0xff), MESSAGE, signature)).toBe(false)
    })

    it('is deterministic', () => {
      expect(Buffer.from(ed25519.sign(KEY, MESSAGE)).equals(signature)).toBe(true)
    })
  })
}

describe('Ed25519', () => {
  contract('native provider', nativeEd25519)
  contract('portable provider', portableEd25519)

  it('both providers sign and judge alike', async () => {
    for (let number = 0; number < 8; number++) {
      const key = signingKeyFromSeed('ed25519:x' as KeyId, Buffer.alloc(32, number + 1))
      const message = Buffer.from(`message ${number}`)
      const signature = nativeEd25519.sign(key, message)
      expect(encodeBase64(portableEd25519.sign(key, message))).toBe(encodeBase64(signature))
      expect(await portableEd25519.verify(key.publicKey, message, signature)).toBe(true)
      expect(await nativeEd25519.verify(key.publicKey, message, signature)).toBe(true)
    }
  })

  it("derives the public key of the specification's seed", () => {
    expect(encodeBase64(KEY.publicKey)).toBe(vectors<{ public_key: string }>('events.json').public_key)
    expect(KEY.secretKey.length).toBe(64)
    expect(KEY.keyId).toBe('ed25519:1')
    expect(encodeBase64(KEY.seed)).toBe(encodeBase64(SEED))
  })

  /** Encodings of points whose order divides eight: canonical, with y + p for y, and with the sign bit set on x = 0. */
  const SMALL = [
    '0100000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000080',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0000000000000000000000000000000000000000000000000000000000000080',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  ]

  it.each(SMALL)('knows the key %s as one of small order', (hex) => {
    expect(isSmallOrder(Buffer.from(hex, 'hex'))).toBe(true)
  })

  it('lets all other keys through', () => {
    expect(isSmallOrder(KEY.publicKey)).toBe(false)
    for (const hex of SMALL) expect(isSmallOrder(changed(Buffer.from(hex, 'hex'), 15))).toBe(false)
  })

  it('needs that refusal: with the identity as key, one signature holds for every message', async () => {
    const identity = Buffer.from(SMALL[0] ?? '', 'hex')
    const forged = Buffer.concat([identity, Buffer.alloc(32)])
    for (const message of ['a', 'b']) {
      expect(await nativeEd25519.verify(identity, Buffer.from(message), forged)).toBe(true)
      expect(await portableEd25519.verify(identity, Buffer.from(message), forged)).toBe(true)
    }
  })

  it('refuses the group order itself for S, where the equation holds', async () => {
    const identity = Buffer.from(SMALL[0] ?? '', 'hex')
    const forged = withScalar(identity, ORDER)
    expect(await nativeEd25519.verify(identity, MESSAGE, forged)).toBe(false)
    expect(await portableEd25519.verify(identity, MESSAGE, forged)).toBe(false)
  })
})
