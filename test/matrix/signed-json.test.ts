import { describe, expect, it } from 'vitest'
import { decodeBase64, encodeBase64 } from '../../src/matrix/base64.ts'
import { canonicalJsonText } from '../../src/matrix/canonical-json.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { KeyId, ServerName } from '../../src/matrix/identifiers.ts'
import { portableEd25519, signingKeyFromSeed } from '../../src/matrix/portable-ed25519.ts'
import { allVerify, signaturesBy, signedBytes, signJson, without } from '../../src/matrix/signed-json.ts'
import type { OracleObject } from '../oracle/json-value.ts'
import { bare, objectOfText, vectors } from './given.ts'

interface Appendix {
  readonly signing_key_seed: string
  readonly json_signing: readonly { readonly input: OracleObject; readonly output: OracleObject }[]
}

interface SignedCase {
  readonly seed: string
  readonly key_id: string
  readonly server: string
  readonly public_key: string
  readonly canonical: string
  readonly signed: OracleObject
}

const appendix = vectors<Appendix>('spec-appendix.json')
const DOMAIN = 'domain' as ServerName

function keyOf(keyId: string, seed: string) {
  return signingKeyFromSeed(keyId as KeyId, decodeBase64(seed) ?? new Uint8Array())
}

const KEY = keyOf('ed25519:1', appendix.signing_key_seed)

describe('signed JSON', () => {
  it.each(appendix.json_signing)('D1 signs $input as the specification does', ({ input, output }) => {
    for (const provider of [nativeEd25519, portableEd25519]) {
      expect(signJson(bare(input), DOMAIN, KEY, provider)).toEqual(output)
    }
  })

  it.each(vectors<{ cases: readonly SignedCase[] }>('signedjson.json').cases)(
    'D2 D4 agrees with a second implementation on what $server signs',
    async ({ seed, key_id: keyId, server, public_key: publicKey, canonical, signed }) => {
      const object = objectOfText(JSON.stringify(signed))
      expect(signedBytes(object).toString('utf8')).toBe(canonical)
      const again = signJson(without(object, ['signatures']), server as ServerName, keyOf(keyId, seed), nativeEd25519)
      expect(canonicalJsonText(again)).toBe(canonicalJsonText(object))
      const signature = signaturesBy(object, server as ServerName).get(keyId) ?? ''
      const key = decodeBase64(publicKey) ?? new Uint8Array()
      expect(await allVerify([{ signature, publicKey: key }], signedBytes(object), nativeEd25519)).toBe(true)
    },
  )

  it('covers neither signatures nor unsigned, and nothing but these two', () => {
    const object = objectOfText('{"b":1,"signatures":{"x":{}},"unsigned":{"age":1},"hashes":{},"age_ts":2}')
    expect(signedBytes(object).toString()).toBe('{"age_ts":2,"b":1,"hashes":{}}')
  })

  it('adds its signature to those that are there', () => {
    const object = objectOfText('{"a":1,"signatures":{"domain":{"ed25519:0":"old"},"other":{"ed25519:1":"x"}}}')
    const signed = signJson(object, DOMAIN, KEY, nativeEd25519)
    expect(Object.keys(signed.signatures ?? {}).sort()).toEqual(['domain', 'other'])
    expect([...signaturesBy(signed, DOMAIN).keys()].sort()).toEqual(['ed25519:0', 'ed25519:1'])
    expect(signaturesBy(signed, 'other' as ServerName)).toEqual(new Map([['ed25519:1', 'x']]))
    expect(object.signatures).not.toEqual(signed.signatures)
  })

  it('replaces signatures that are no object', () => {
    const signed = signJson(objectOfText('{"signatures":{"domain":"x"}}'), DOMAIN, KEY, nativeEd25519)
    expect([...signaturesBy(signed, DOMAIN).keys()]).toEqual(['ed25519:1'])
    expect([
      ...signaturesBy(signJson(objectOfText('{"signatures":[]}'), DOMAIN, KEY, nativeEd25519), DOMAIN).keys(),
    ]).toEqual(['ed25519:1'])
  })

  it.each([
    ['no signatures', '{}'],
    ['signatures of another type', '{"signatures":[1]}'],
    ['another server', '{"signatures":{"Domain":{"ed25519:1":"x"}}}'],
    ['an entry that is no object', '{"signatures":{"domain":"x"}}'],
    ['values that are no strings', '{"signatures":{"domain":{"ed25519:1":1,"ed25519:2":null}}}'],
  ])('finds none in an object with %s', (_what, text) => {
    expect(signaturesBy(objectOfText(text), DOMAIN).size).toBe(0)
  })

  it('finds nothing under a name that objects inherit', () => {
    expect(signaturesBy({ signatures: {} }, 'constructor' as ServerName).size).toBe(0)
    expect(signaturesBy({ signatures: {} }, '__proto__' as ServerName).size).toBe(0)
  })

  it('leaves keys out of a copy, and the original as it was', () => {
    const object = objectOfText('{"a":1,"__proto__":2,"b":3}')
    expect(canonicalJsonText(without(object, ['a']))).toBe('{"__proto__":2,"b":3}')
    expect(canonicalJsonText(object)).toBe('{"__proto__":2,"a":1,"b":3}')
  })
})

describe('several signatures', () => {
  const message = Buffer.from('{}')
  const good = { signature: encodeBase64(nativeEd25519.sign(KEY, message)), publicKey: KEY.publicKey }
  const wrong = { ...good, signature: encodeBase64(nativeEd25519.sign(KEY, Buffer.from('[]'))) }

  it.each([
    ['none', [], false],
    ['a good one', [good], true],
    ['two good ones', [good, good], true],
    ['a wrong one', [wrong], false],
    ['a good one before a wrong one', [good, wrong], false],
    ['a wrong one before a good one', [wrong, good], false],
    ['one that is no base64', [{ ...good, signature: '***' }], false],
    ['a good one beside one that is no base64', [good, { ...good, signature: `${good.signature}-` }], false],
    ['a short one', [{ ...good, signature: good.signature.slice(0, 84) }], false],
    ['a padded one', [{ ...good, signature: `${good.signature}==` }], true],
  ])('%s: all must verify, and there must be one', async (_what, signatures, expected) => {
    expect(await allVerify(signatures, message, nativeEd25519)).toBe(expected)
  })
})
