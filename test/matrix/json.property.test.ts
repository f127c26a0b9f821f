import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_JSON_DEPTH, parseJson } from '../../src/matrix/json.ts'
import { type StrictVerdict, strictVerdicts } from '../oracle/strict-json.ts'
import { awkwardKey, json, text } from './arbitraries.ts'

/** How the reader words what the reference names. */
const WORDING: readonly (readonly [RegExp, StrictVerdict])[] = [
  [/UTF-8/, 'encoding'],
  [/twice/, 'duplicate'],
  [/fraction or an exponent/, 'number'],
  [/2\^53/, 'range'],
  [/surrogate/, 'surrogate'],
  [/nested/, 'depth'],
]

function verdictOf(bytes: Uint8Array): StrictVerdict {
  const result = parseJson(bytes)
  if (result.ok) return 'fine'
  return WORDING.find(([pattern]) => pattern.test(result.reason))?.[1] ?? 'syntax'
}

/** The reader names one fault that the reference finds; in a text that is no JSON it may meet another fault first. */
function agrees(bytes: Uint8Array): void {
  const expected = strictVerdicts(bytes, MAX_JSON_DEPTH)
  const actual = verdictOf(bytes)
  const startsWithMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  if (expected.has('syntax') || startsWithMark) expect(actual).not.toBe('fine')
  else expect(expected).toContain(actual)
}

const questionable = fc.constantFrom(
  '1.0',
  '1e3',
  '-0',
  '9007199254740991',
  '9007199254740992',
  '-9007199254740992',
  '"\\ud800"',
  '"\\ud83d\\ude00"',
  '"\\u0061"',
  '1.',
  '01',
  '-',
  'nul',
  '{"a":1,"\\u0061":2}',
)
const piece = fc.oneof(
  fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', ' ', '\n', '"a"', '"a":', '"b":', 'true', 'null', '0', '12'),
  questionable,
  text.map((value) => JSON.stringify(value)),
)

/** Texts made by putting questionable values and double keys into good JSON. */
const almostJson = fc
  .array(
    fc.tuple(
      fc.oneof(awkwardKey, fc.constantFrom('a', 'b')),
      fc.oneof(
        questionable,
        json.map((v) => JSON.stringify(v)),
      ),
    ),
    {
      maxLength: 5,
    },
  )
  .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(' ,\t')}}`)

describe('strict JSON reader, for any bytes', () => {
  it('D3 agrees with the reference on JSON with questionable parts', () => {
    fc.assert(
      fc.property(almostJson, (source) => agrees(Buffer.from(source))),
      { numRuns: 400 },
    )
  })

  it('D3 agrees with the reference on texts put together at random', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => agrees(Buffer.from(pieces.join('')))),
      { numRuns: 600 },
    )
  })

  it('D3 agrees with the reference on arbitrary bytes and on bytes changed in good JSON', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 24 }), agrees), { numRuns: 300 })
    fc.assert(
      fc.property(json, fc.nat(), fc.integer({ min: 0, max: 255 }), (value, at, byte) => {
        const bytes = Buffer.from(JSON.stringify(value))
        bytes[at % bytes.length] = byte
        agrees(bytes)
      }),
      { numRuns: 400 },
    )
  })

  it('D3 accepts nothing that JSON.parse refuses, and reads the same value', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const source = JSON.stringify(value, null, indent)
        const result = parseJson(Buffer.from(source))
        expect(result.ok && JSON.stringify(result.value)).toBe(JSON.stringify(JSON.parse(source)))
      }),
    )
  })

  it('never throws on a good text cut anywhere', () => {
    fc.assert(
      fc.property(json, fc.nat(), (value, at) => {
        const bytes = Buffer.from(JSON.stringify(value))
        expect(() => parseJson(bytes.subarray(0, at % (bytes.length + 1)))).not.toThrow()
      }),
    )
  })
})
