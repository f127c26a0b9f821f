import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ServerName } from '../../src/matrix/identifiers.ts'
import { parseXMatrix, writeXMatrix, type XMatrix } from '../../src/matrix/x-matrix.ts'
import { serverName, text } from './arbitraries.ts'

const value: fc.Arbitrary<XMatrix> = fc.record({
  origin: serverName.map((name) => name as ServerName),
  destination: fc.option(text, { nil: undefined }),
  keyId: text,
  signature: text,
})

const token = fc.string({ unit: fc.constantFrom(..."abcXYZ019.-_~!#$%&'*+^`|"), minLength: 1, maxLength: 8 })
const blank = fc.string({ unit: fc.constantFrom(' ', '\t'), maxLength: 3 })

/** One parameter in any spelling that the grammar allows, or that recipients must bear. */
function spelled(name: string, held: string): fc.Arbitrary<string> {
  const letters = [...name].map((letter) => fc.constantFrom(letter, letter.toUpperCase()))
  const quoted = fc
    .array(fc.boolean(), { minLength: held.length, maxLength: held.length })
    .map((escapes) => `"${[...held].map((letter, at) => (escapes[at] === true ? `\\${letter}` : letter)).join('')}"`)
  return fc
    .tuple(fc.tuple(...letters), blank, blank, fc.oneof(fc.constant(held), quoted))
    .map(([spelling, before, after, written]) => `${spelling.join('')}${before}=${after}${written}`)
}

const gap = fc
  .tuple(blank, fc.array(fc.constantFrom(',', ', ', '\t,'), { minLength: 1, maxLength: 3 }), blank)
  .map(([before, commas, after]) => `${before}${commas.join('')}${after}`)

interface Spelling {
  readonly header: string
  readonly value: Omit<XMatrix, 'origin'> & { readonly origin: string }
}

const spelling: fc.Arbitrary<Spelling> = fc
  .record({
    origin: serverName,
    destination: fc.option(serverName, { nil: undefined }),
    keyId: token.map((version) => `ed25519:${version}`),
    signature: fc.base64String({ minLength: 4, maxLength: 12 }),
    future: fc.option(token, { nil: undefined }),
  })
  .chain(({ future, ...known }) => {
    const parameters = [
      spelled('origin', known.origin),
      spelled('key', known.keyId),
      spelled('sig', known.signature),
      ...(known.destination === undefined ? [] : [spelled('destination', known.destination)]),
      ...(future === undefined ? [] : [spelled('future', future)]),
    ]
    return fc
      .record({
        scheme: fc.constantFrom('X-Matrix', 'x-matrix', 'X-MATRIX'),
        spaces: fc.integer({ min: 1, max: 3 }),
        parts: fc.tuple(...parameters).chain((parts) => fc.shuffledSubarray(parts, { minLength: parts.length })),
        gaps: fc.array(gap, { minLength: parameters.length, maxLength: parameters.length }),
      })
      .map(({ scheme, spaces, parts, gaps }) => ({
        header: `${scheme}${' '.repeat(spaces)}${parts.map((part, at) => (at === 0 ? part : `${gaps[at]}${part}`)).join('')}`,
        value: known,
      }))
  })

describe('X-Matrix header, for any value', () => {
  it('B3 is read as it was written', () => {
    fc.assert(
      fc.property(value, (given) => {
        expect(parseXMatrix(writeXMatrix(given))).toEqual({ ok: true, value: given })
      }),
    )
  })

  it('B3 reads every spelling that the grammar allows', () => {
    fc.assert(
      fc.property(spelling, ({ header, value: expected }) => {
        expect(parseXMatrix(header)).toEqual({ ok: true, value: expected })
      }),
      { numRuns: 300 },
    )
  })

  it('never throws, whatever the text, and gives a server name or a reason', () => {
    const piece = fc.oneof(
      fc.constantFrom('X-Matrix ', 'origin', 'key', 'sig', '=', ',', '"', '\\', ' ', '\t', 'domain', '\0', '\n'),
      fc.string({ unit: 'binary', maxLength: 3 }),
    )
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        for (const header of [pieces.join(''), `X-Matrix ${pieces.join('')}`]) {
          const result = parseXMatrix(header)
          expect(result.ok ? result.value.origin : result.reason).toMatch(/./)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('stays quick on long headers of one kind', () => {
    for (const unit of ['a', '"', '\\', '\\"', '=', ',', ' ', 'a=', '"a', 'a="', 'a=b,']) {
      for (const start of ['X-Matrix ', 'X-Matrix origin="', 'X-Matrix a']) {
        expect(() => parseXMatrix(start + unit.repeat(16_384))).not.toThrow()
      }
    }
  })
})
