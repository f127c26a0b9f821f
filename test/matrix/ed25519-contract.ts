/** What every provider of Ed25519 must do, whoever computes. */
import { describe, expect, it } from 'vitest'
import { decodeBase64, encodeBase64 } from '../../src/matrix/base64.ts'
import type { Ed25519 } from '../../src/matrix/ed25519.ts'
import type { KeyId } from '../../src/matrix/identifiers.ts'
import { signingKeyFromSeed } from '../../src/matrix/portable-ed25519.ts'
import { vectors } from './given.ts'

export const SEED = decodeBase64(
  vectors<{ signing_key_seed: string }>('spec-appendix.json').signing_key_seed,
) as Uint8Array
export const KEY = signingKeyFromSeed('ed25519:1' as KeyId, SEED)
export const MESSAGE = Buffer.from('{"one":1,"two":"Two"}')
const SPEC_SIGNATURE = 'KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw'

/** The group order of Ed25519. */
export const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

/** The same signature with S + L for S: it satisfies the equation, and RFC 8032 refuses it. */
function malleated(signature: Uint8Array): Uint8Array {
  const scalar = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + ORDER
  const bytes = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse()
  return Buffer.concat([signature.subarray(0, 32), bytes])
}

export function withScalar(signature: Uint8Array, scalar: bigint): Uint8Array {
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse()])
}

export function changed(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

export function ed25519Contract(name: string, ed25519: Ed25519): void {
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
