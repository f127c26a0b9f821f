import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson, canonicalJsonText, compareCodePoints } from '../../src/matrix/canonical-json.ts'
import { parseJson } from '../../src/matrix/json.ts'
import { compareByCodePoint, oracleCanonicalText } from '../oracle/canonical-json.ts'
import { isOracleObject, type OracleJson, objectOf } from '../oracle/json-value.ts'
import { awkwardKey, json, text } from './arbitraries.ts'
import { bare, jsonOf } from './given.ts'

function reversed(value: OracleJson): OracleJson {
  if (isOracleObject(value))
    return objectOf(
      Object.entries(value)
        .reverse()
        .map(([key, held]) => [key, reversed(held)]),
    )
  return Array.isArray(value) ? value.map(reversed) : value
}

describe('canonical JSON, for any value', () => {
  it('D1 agrees with the reference', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalJsonText(bare(value))).toBe(oracleCanonicalText(value))
      }),
    )
  })

  it('D1 is a fixed point: reading it and writing it again changes nothing', () => {
    fc.assert(
      fc.property(json, (value) => {
        const once = canonicalJsonText(bare(value))
        expect(canonicalJsonText(jsonOf(once))).toBe(once)
      }),
    )
  })

  it('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalJsonText(bare(reversed(value)))).toBe(canonicalJsonText(bare(value)))
      }),
    )
  })

  it('D4 is read back as the same value', () => {
    fc.assert(
      fc.property(json, (value) => {
        const result = parseJson(canonicalJson(bare(value)))
        expect(result).toEqual({ ok: true, value: bare(value) })
      }),
    )
  })

  it('orders keys as the reference does', () => {
    const key = fc.oneof(awkwardKey, text)
    fc.assert(
      fc.property(key, key, (left, right) => {
        // + 0: toBe tells 0 from -0.
        expect(Math.sign(compareCodePoints(left, right)) + 0).toBe(Math.sign(compareByCodePoint(left, right)) + 0)
      }),
    )
  })
})
