import { describe, expect, it } from 'vitest'
import { canonicalJson, canonicalJsonText, compareCodePoints } from '../../src/matrix/canonical-json.ts'
import { parseJson } from '../../src/matrix/json.ts'
import { jsonOf, vectors } from './given.ts'

interface Case {
  readonly input: string
  readonly output?: string
  readonly refused?: string
}

describe('canonical JSON', () => {
  const spec = vectors<{ canonical: readonly Case[] }>('spec-appendix.json').canonical
  // The last example writes a number with an exponent, which its own grammar forbids; the reader refuses it.
  it.each(spec.slice(0, -1))("D1 gives the specification's form of $input", ({ input, output }) => {
    expect(canonicalJsonText(jsonOf(input))).toBe(output)
  })

  it('D1 refuses the exponent of the last example, and reads its negative zero as zero', () => {
    const contradiction = spec.at(-1)?.input ?? ''
    expect(parseJson(Buffer.from(contradiction))).toMatchObject({ ok: false, errcode: 'M_BAD_JSON' })
    expect(canonicalJsonText(jsonOf(contradiction.replace('1e10', '10000000000')))).toBe(spec.at(-1)?.output)
  })

  it.each(vectors<{ canonical: readonly Case[] }>('events.json').canonical)(
    "D2 gives the vector's form of $input",
    ({ input, output }) => {
      expect(canonicalJsonText(jsonOf(input))).toBe(output)
    },
  )

  it.each(vectors<{ cases: readonly Case[] }>('canonicaljson.json').cases)(
    'D2 agrees with a second implementation on $input',
    ({ input, output }) => {
      const result = parseJson(Buffer.from(input))
      expect(result.ok ? canonicalJsonText(result.value) : undefined).toBe(output)
    },
  )

  it('D4 keeps keys that objects inherit, integer-like keys and the empty key, in code point order', () => {
    const text = '{"b":1,"__proto__":{"x":1},"10":2,"9":3,"":4,"constructor":5,"toString":6}'
    expect(canonicalJsonText(jsonOf(text))).toBe(
      '{"":4,"10":2,"9":3,"__proto__":{"x":1},"b":1,"constructor":5,"toString":6}',
    )
  })

  it('writes UTF-8, with characters beyond the basic plane after all others', () => {
    const bytes = canonicalJson(jsonOf('{"\u{1f600}":1,"\uffff":2,"\ue000":3,"z":4}'))
    expect(bytes.toString('utf8')).toBe('{"z":4,"\ue000":3,"\uffff":2,"\u{1f600}":1}')
    expect(bytes.length).toBe(32)
  })

  it.each([
    ['', '', 0],
    ['a', '', 1],
    ['a', 'ab', -1],
    ['b', 'ab', 1],
    ['\ud7ff', '\ue000', -1],
    ['\ue000', '\u{10000}', -1],
    ['\u{10000}', '\u{10001}', -1],
    ['\u{10fffe}x', '\u{10000}y', 1],
  ])('orders %j against %j by code point', (left, right, order) => {
    expect(Math.sign(compareCodePoints(left, right))).toBe(order)
    expect(Math.sign(compareCodePoints(right, left))).toBe(order === 0 ? 0 : -order)
  })
})
