import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromBound, toBound } from '../../../src/store/sqlite/bound-text.ts'

const text = fc.string({ unit: fc.constantFrom('\0', '\u0001', '\u0002', 'a', '\u{1F600}'), maxLength: 8 })

describe('text on its way into the SQLite file', () => {
  it('comes back as it was, and holds no U+0000 meanwhile', () => {
    fc.assert(
      fc.property(text, (given) => {
        expect(toBound(given)).not.toContain('\0')
        expect(fromBound(toBound(given))).toBe(given)
      }),
    )
  })

  it('keeps its order', () => {
    const order = (left: string, right: string) => Math.sign(Buffer.compare(Buffer.from(left), Buffer.from(right)))
    fc.assert(
      fc.property(text, text, (left, right) => {
        expect(order(toBound(left), toBound(right))).toBe(order(left, right))
      }),
    )
  })
})
