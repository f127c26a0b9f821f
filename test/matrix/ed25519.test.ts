import { describe, expect, it } from 'vitest'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import { isSmallOrder, nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { KeyId } from '../../src/matrix/identifiers.ts'
import { portableEd25519, signingKeyFromSeed } from '../../src/matrix/portable-ed25519.ts'
import { changed, ed25519Contract, KEY, MESSAGE, ORDER, SEED, withScalar } from './ed25519-contract.ts'
import { vectors } from './given.ts'

const NODE_MAJOR = Number.parseInt(process.versions.node, 10)

describe('Ed25519', () => {
  ed25519Contract('native provider', nativeEd25519)
  ed25519Contract('portable provider', portableEd25519)

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
    const messages = ['a', 'b'].map((text) => Buffer.from(text))
    for (const message of messages) expect(await portableEd25519.verify(identity, message, forged)).toBe(true)
    const native = await Promise.all(messages.map((message) => nativeEd25519.verify(identity, message, forged)))
    // From some version 24 on Node refuses such a key by itself, for every message.
    const verdicts =
      NODE_MAJOR < 24
        ? [[true, true]]
        : [
            [true, true],
            [false, false],
          ]
    expect(verdicts).toContainEqual(native)
  })

  it('refuses the group order itself for S, where the equation holds', async () => {
    const identity = Buffer.from(SMALL[0] ?? '', 'hex')
    const forged = withScalar(identity, ORDER)
    expect(await nativeEd25519.verify(identity, MESSAGE, forged)).toBe(false)
    expect(await portableEd25519.verify(identity, MESSAGE, forged)).toBe(false)
  })
})
