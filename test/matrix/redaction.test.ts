import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import { contentHash, eventId, signedForm } from '../../src/matrix/event-hashes.ts'
import { redact } from '../../src/matrix/redaction.ts'
import { oracleCanonicalText } from '../oracle/canonical-json.ts'
import { oracleContentHash, oracleEventId, oracleSignedForm } from '../oracle/event-hashes.ts'
import { isOracleObject, type OracleJson, type OracleObject, own } from '../oracle/json-value.ts'
import { oracleRedact } from '../oracle/redaction.ts'
import { event, roomVersionId } from './arbitraries.ts'
import { bare, knockFields, pduOf, version } from './given.ts'

/** Whether `part` is `whole` with members left out, at any level. */
function isPartOf(part: OracleJson, whole: OracleJson | undefined): boolean {
  if (!isOracleObject(part) || !isOracleObject(whole)) return JSON.stringify(part) === JSON.stringify(whole)
  return Object.entries(part).every(([key, held]) => isPartOf(held, own(whole, key)))
}

describe('redaction, for any event', () => {
  it('agrees with the reference', () => {
    fc.assert(
      fc.property(event, roomVersionId, (given, id) => {
        expect(redact(pduOf(given), version(id))).toEqual(bare(oracleRedact(given, id)))
      }),
      { numRuns: 400 },
    )
  })

  it('is idempotent', () => {
    fc.assert(
      fc.property(event, roomVersionId, (given, id) => {
        const once = redact(pduOf(given), version(id))
        expect(redact(once, version(id))).toEqual(once)
      }),
    )
  })

  it('never adds or changes anything', () => {
    fc.assert(
      fc.property(event, roomVersionId, (given, id) => {
        const redacted = redact(pduOf(given), version(id)) as unknown as OracleObject
        expect(isPartOf(redacted, given)).toBe(true)
      }),
    )
  })

  it('D5 keeps the event id and what was signed', () => {
    fc.assert(
      fc.property(event, roomVersionId, (given, id) => {
        const pdu = pduOf(given)
        expect(eventId(redact(pdu, version(id)), version(id))).toBe(eventId(pdu, version(id)))
      }),
    )
  })

  it('D4 D5 hashes and ids agree with the reference', () => {
    fc.assert(
      fc.property(event, roomVersionId, (given, id) => {
        const pdu = pduOf(given)
        expect(encodeBase64(contentHash(pdu))).toBe(oracleContentHash(given))
        expect(signedForm(pdu, version(id)).toString('utf8')).toBe(oracleCanonicalText(oracleSignedForm(given, id)))
        // Versions 1 and 2 state their ids, and then only where the format check found one.
        if (Number(id) > 2) expect(eventId(pdu, version(id))).toBe(oracleEventId(given, id))
      }),
    )
  })
})

describe('redaction of a knock', () => {
  const content = {
    membership: 'knock',
    reason: 'please',
    displayname: 'Bob',
    join_authorised_via_users_server: '@host:here.test',
  }

  it.each([
    ['7', ['membership']],
    ['8', ['membership']],
    ['9', ['join_authorised_via_users_server', 'membership']],
    ['10', ['join_authorised_via_users_server', 'membership']],
    ['11', ['join_authorised_via_users_server', 'membership']],
    ['12', ['join_authorised_via_users_server', 'membership']],
  ])('F6 version %s keeps %j of its content', (id, keys) => {
    const redacted = redact(pduOf(knockFields({ content, unsigned: { age: 1 } })), version(id))
    expect(Object.keys(redacted.content).sort()).toEqual(keys)
    expect(redacted.unsigned).toBeUndefined()
  })

  it('leaves the event that it is given as it was', () => {
    const pdu = pduOf(knockFields({ content }))
    redact(pdu, version('10'))
    expect(pdu).toEqual(bare(knockFields({ content })))
  })
})
