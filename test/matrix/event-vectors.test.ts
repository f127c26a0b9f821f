import { describe, expect, it } from 'vitest'
import { decodeBase64, encodeBase64 } from '../../src/matrix/base64.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import {
  contentHash,
  contentHashHolds,
  eventId,
  eventIdOfSignedForm,
  signedForm,
} from '../../src/matrix/event-hashes.ts'
import type { KeyId } from '../../src/matrix/identifiers.ts'
import { signingKeyFromSeed } from '../../src/matrix/portable-ed25519.ts'
import { oracleCanonicalText } from '../oracle/canonical-json.ts'
import { oracleContentHash, oracleEventId, oracleSignedForm } from '../oracle/event-hashes.ts'
import type { OracleObject } from '../oracle/json-value.ts'
import { pduOf, vectors, version } from './given.ts'

interface EventVector {
  readonly name: string
  readonly room_version: string
  readonly pdu: OracleObject
  readonly redacted_canonical?: string
  readonly event_id: string
  readonly hash_ok?: boolean
}

interface Group {
  readonly versions: readonly string[]
  readonly pdu: OracleObject
  readonly result: {
    readonly content_hash: string
    readonly redacted: string
    readonly event_id: string
    readonly signature: string
  }
}

interface Appendix {
  readonly signing_key_seed: string
  readonly event_signing: readonly { readonly input: OracleObject; readonly output: OracleObject }[]
}

const appendix = vectors<Appendix>('spec-appendix.json')
const KEY = signingKeyFromSeed('ed25519:1' as KeyId, decodeBase64(appendix.signing_key_seed) ?? new Uint8Array())

describe('event vectors', () => {
  it.each(appendix.event_signing)('D1 hashes and signs the event of the appendix: $input.type', ({ input, output }) => {
    const hashes = { sha256: encodeBase64(contentHash(pduOf(input))) }
    expect(hashes).toEqual(output.hashes)
    const signature = nativeEd25519.sign(KEY, signedForm(pduOf({ ...input, hashes }), version('1')))
    expect({ domain: { 'ed25519:1': encodeBase64(signature) } }).toEqual(output.signatures)
    expect(contentHashHolds(pduOf(output))).toBe(true)
  })

  it.each(vectors<{ events: readonly EventVector[] }>('events.json').events)(
    'D5 $name',
    async ({ pdu, room_version: id, redacted_canonical: redacted, event_id: expected, hash_ok: holds, name }) => {
      const event = pduOf(pdu)
      const form = signedForm(event, version(id))
      if (redacted !== undefined) expect(form.toString('utf8')).toBe(redacted)
      expect(eventId(event, version(id))).toBe(expected)
      expect(contentHashHolds(event)).toBe(holds ?? !name.includes('room_id wrongly re-added'))
      const signature = event.signatures.domain?.['ed25519:1']
      if (signature === undefined || name.includes('re-added')) return
      expect(await nativeEd25519.verify(KEY.publicKey, form, decodeBase64(signature) ?? new Uint8Array())).toBe(true)
    },
  )

  const groups = vectors<{ events: readonly { name: string; groups: readonly Group[] }[] }>(
    'synapse-events.json',
  ).events.flatMap(({ name, groups }) =>
    groups.flatMap(({ versions, pdu, result }) => versions.map((id) => ({ name, id, pdu, result }))),
  )

  it.each(groups)('D5 agrees with a second implementation on version $id: $name', ({ id, pdu, result }) => {
    expect(encodeBase64(contentHash(pduOf(pdu)))).toBe(result.content_hash)
    const hashed = pduOf({ ...pdu, hashes: { sha256: result.content_hash } })
    expect(contentHashHolds(hashed)).toBe(true)
    const form = signedForm(hashed, version(id))
    expect(form.toString('utf8')).toBe(result.redacted)
    expect(eventId(hashed, version(id))).toBe(result.event_id)
    expect(encodeBase64(nativeEd25519.sign(KEY, form))).toBe(result.signature)
  })

  it('D5 the reference agrees with the second implementation as well', () => {
    for (const { id, pdu, result } of groups) {
      const hashed: OracleObject = { ...pdu, hashes: { sha256: result.content_hash } }
      expect(oracleContentHash(pdu)).toBe(result.content_hash)
      expect(oracleCanonicalText(oracleSignedForm(hashed, id))).toBe(result.redacted)
      expect(oracleEventId(hashed, id)).toBe(result.event_id)
    }
  })

  it('D5 writes version 3 ids in the standard alphabet and later ones in the URL-safe one', () => {
    const form = Buffer.from('some event 21')
    expect(eventIdOfSignedForm(form, version('3'))).toMatch(/^\$[A-Za-z0-9+/]{43}$/)
    expect(eventIdOfSignedForm(form, version('4'))).toBe(
      eventIdOfSignedForm(form, version('3')).replaceAll('+', '-').replaceAll('/', '_'),
    )
  })

  it('D6 version 11 leaves origin out of signature and id, but not out of the content hash', () => {
    const group = groups.filter(({ name }) => name === 'knock' || name === 'origin only')
    const [plain, withOrigin] = ['knock', 'origin only'].map((name) => {
      const pdu = group.find((entry) => entry.name === name && entry.id === '11')?.pdu ?? {}
      return pduOf({ ...pdu, hashes: { sha256: 'same' } })
    })
    if (plain === undefined || withOrigin === undefined) throw new Error('vectors are missing')
    expect(eventId(withOrigin, version('11'))).toBe(eventId(plain, version('11')))
    expect(eventId(withOrigin, version('10'))).not.toBe(eventId(plain, version('10')))
    expect(encodeBase64(contentHash(withOrigin))).not.toBe(encodeBase64(contentHash(plain)))
  })
})
