import { describe, expect, it } from 'vitest'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { KeyId, ServerName } from '../../src/matrix/identifiers.ts'
import { type JsonObject, parseJson } from '../../src/matrix/json.ts'
import { cappedValidity, checkKeyObject, isUsableKey } from '../../src/matrix/server-keys.ts'
import { keyObject } from '../support/key-server.ts'
import { base64, createIdentity, type JsonRecord, omit, withSignature } from '../support/signing.ts'

const DAY = 86_400_000
const identity = createIdentity('there.test')
const retired = createIdentity('there.test', 'ed25519:old')
const honest = keyObject(identity, [{ identity: retired, expiredAt: 1000 }], 5000)
const unsigned = omit(honest, 'signatures')

const check = (object: JsonRecord, denied: (key: Uint8Array) => boolean = () => false) => {
  const json = parseJson(Buffer.from(JSON.stringify(object)))
  return checkKeyObject(json.ok ? json.value : null, 'there.test' as ServerName, nativeEd25519, denied)
}
const signed = (changes: JsonRecord) => withSignature({ ...unsigned, ...changes }, identity)
const ownKey = { [identity.keyId]: { key: base64(identity.publicKey) } }

describe('key object', () => {
  it('C1 an honest one is usable, with what it says of each key', async () => {
    expect(await check(honest)).toEqual({
      ok: true,
      keys: {
        server: 'there.test',
        validUntil: 5000,
        keys: [
          { keyId: identity.keyId, key: new Uint8Array(identity.publicKey), validUntil: 5000, old: false },
          { keyId: retired.keyId, key: new Uint8Array(retired.publicKey), validUntil: 1000, old: true },
        ],
      },
    })
  })

  it.each<[string, JsonRecord]>([
    ['another server_name', signed({ server_name: 'elsewhere.test' })],
    ['its server_name in another case', signed({ server_name: 'There.test' })],
    ['no server_name', withSignature(omit(unsigned, 'server_name'), identity)],
    ['no valid_until_ts', withSignature(omit(unsigned, 'valid_until_ts'), identity)],
    ['a valid_until_ts that is text', signed({ valid_until_ts: '5000' })],
    ['a negative valid_until_ts', signed({ valid_until_ts: -1 })],
    ['no verify_keys', withSignature(omit(unsigned, 'verify_keys'), identity)],
    ['verify_keys as a list', signed({ verify_keys: [] })],
    ['a key of 31 bytes', signed({ verify_keys: { ...ownKey, 'ed25519:b': { key: base64(new Uint8Array(31)) } } })],
    ['a key of 33 bytes', signed({ verify_keys: { ...ownKey, 'ed25519:b': { key: base64(new Uint8Array(33)) } } })],
    ['a key that is no base64', signed({ verify_keys: { ...ownKey, 'ed25519:b': { key: '?' } } })],
    ['a key that is bare text', signed({ verify_keys: { ...ownKey, 'ed25519:b': base64(identity.publicKey) } })],
    ['an old key without expired_ts', signed({ old_verify_keys: { 'ed25519:b': { key: base64(retired.publicKey) } } })],
    ['no signature', unsigned],
    ['a signature by another server', withSignature(unsigned, createIdentity('elsewhere.test'))],
    ['a signature by an old key alone', withSignature(unsigned, retired)],
    ['a signature that is wrong', withSignature(unsigned, createIdentity('there.test', identity.keyId))],
    ['a change after it was signed', { ...honest, valid_until_ts: 6000 }],
    [
      'more keys than anybody has',
      signed({
        verify_keys: Object.fromEntries(
          Array.from({ length: 33 }, (_, at) => [`ed25519:k${at}`, { key: base64(identity.publicKey) }]),
        ),
      }),
    ],
  ])('C1 with %s it is unusable', async (_what, object) => {
    expect(await check(object)).toMatchObject({ ok: false })
  })

  it('C1 one good and one wrong signature by listed keys make it unusable, one by a key that is not listed does not', async () => {
    const second = createIdentity('there.test', 'ed25519:two')
    const both = { ...ownKey, [second.keyId]: { key: base64(second.publicKey) } }
    const object = signed({ verify_keys: both })
    expect(await check(object)).toMatchObject({ ok: true })
    expect(await check(withSignature(object, second))).toMatchObject({ ok: true })
    expect(await check(withSignature(object, createIdentity('there.test', second.keyId)))).toMatchObject({ ok: false })
    expect(await check(withSignature(object, createIdentity('there.test', 'ed25519:unlisted')))).toMatchObject({
      ok: true,
    })
  })

  it('C1 keys of other algorithms are passed over', async () => {
    const checked = await check(signed({ verify_keys: { ...ownKey, 'curve25519:x': { key: 'short' } } }))
    expect(checked.ok && checked.keys.keys.map(({ keyId }) => keyId)).toEqual([identity.keyId, retired.keyId])
  })

  it('C1 a key of small order is not admitted and vouches for nothing', async () => {
    const small = { key: base64(Buffer.from(`01${'00'.repeat(31)}`, 'hex')) }
    const checked = await check(signed({ verify_keys: { ...ownKey, 'ed25519:small': small } }))
    expect(checked.ok && checked.keys.keys.map(({ keyId }) => keyId)).toEqual([identity.keyId, retired.keyId])
    const alone = { ...unsigned, verify_keys: { 'ed25519:small': small } }
    // R = identity, S = 0: under a key that is the identity this signature holds for every message.
    const forged = base64(Buffer.from(`01${'00'.repeat(63)}`, 'hex'))
    expect(await check({ ...alone, signatures: { 'there.test': { 'ed25519:small': forged } } })).toMatchObject({
      ok: false,
    })
  })

  it('C1 a key that the operator refuses is not admitted and vouches for nothing', async () => {
    const refused = (key: Uint8Array) => Buffer.from(identity.publicKey).equals(key)
    expect(await check(honest, refused)).toMatchObject({ ok: false })
    const old = await check(honest, (key) => Buffer.from(retired.publicKey).equals(key))
    expect(old.ok && old.keys.keys.map(({ keyId }) => keyId)).toEqual([identity.keyId])
  })

  it('C1 an object with __proto__ among its keys is read as it stands', async () => {
    const text = `{"__proto__":{"server_name":"there.test"},"valid_until_ts":5000}`
    const json = parseJson(Buffer.from(text))
    const value = json.ok ? (json.value as JsonObject) : null
    expect(await checkKeyObject(value, 'there.test' as ServerName, nativeEd25519, () => false)).toMatchObject({
      ok: false,
    })
  })
})

describe('key validity', () => {
  const current = { keyId: 'ed25519:a' as KeyId, validUntil: 1000, old: false }
  const old = { ...current, old: true }

  it('C2 a promise of a year is worth seven days from when it was fetched', () => {
    expect(cappedValidity(365 * DAY, 10)).toBe(7 * DAY + 10)
    expect(cappedValidity(3 * DAY, 10)).toBe(3 * DAY)
  })

  it('C3 a current key is good up to its last instant, for events and requests', () => {
    for (const use of ['event', 'request'] as const) {
      expect([999, 1000, 1001].map((at) => isUsableKey(current, at, use))).toEqual([true, true, false])
    }
  })

  it('C3 an old key is good for events up to expired_ts, never for requests', () => {
    expect([999, 1000, 1001].map((at) => isUsableKey(old, at, 'event'))).toEqual([true, true, false])
    expect(isUsableKey(old, 999, 'request')).toBe(false)
  })
})
