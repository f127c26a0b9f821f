import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../../src/matrix/canonical-json.ts'
import { isLongerThan } from '../../src/matrix/json-length.ts'
import { json } from './arbitraries.ts'
import { jsonOf } from './given.ts'

const utf8 = (text: string): Buffer => Buffer.from(text, 'utf8')

/** The same JSON with white space around everything and every character escaped that can be. */
function drawnOut(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|[^"]/g, (token) =>
    token.startsWith('"')
      ? `  ${token.replace(/\\.|[a-z]/g, (part) => (part.length > 1 ? part : `\\u00${part.charCodeAt(0).toString(16)}`))}\n`
      : /[[\]{},:]/.test(token)
        ? `\t ${token}\r\n `
        : token,
  )
}

describe('how much a JSON text says', () => {
  it('D3 is never found to be more than its canonical form has', () => {
    fc.assert(
      fc.property(json, (value) => {
        const text = JSON.stringify(value)
        const { length } = canonicalJson(jsonOf(text))
        expect(isLongerThan(length, utf8(text))).toBe(false)
        expect(isLongerThan(length, utf8(drawnOut(text)))).toBe(false)
      }),
    )
  })

  it.each<[string, string]>([
    ['empty objects', `[${'{},'.repeat(400)}{}]`],
    ['numbers', `[${'1 ,'.repeat(600)}1]`],
    ['a string', `"${'x'.repeat(1001)}"`],
    ['a string that does not end', `"${'x'.repeat(1001)}`],
    ['escapes', `"${'\\u0041'.repeat(1001)}"`],
    ['short escapes', `"${'\\n'.repeat(1001)}"`],
    ['words', `[${'true,'.repeat(250)}null]`],
    ['what is no JSON', 'x'.repeat(1001)],
  ])('D3 is found to be more in %s', (_name, text) => {
    expect(isLongerThan(1000, utf8(text))).toBe(true)
  })

  it('D3 is no more for white space, escapes and bytes of one character', () => {
    expect(isLongerThan(1000, utf8(`{${' '.repeat(100_000)}"a":1}`))).toBe(false)
    expect(isLongerThan(1000, utf8(`"${'\\u0041'.repeat(998)}"`))).toBe(false)
    expect(isLongerThan(1000, utf8(`"${'€'.repeat(998)}"`))).toBe(false)
    expect(isLongerThan(1000, utf8(`["${'\\"'.repeat(900)}",-0]`))).toBe(false)
  })

  it('D3 is left to the reader where it nests too deeply', () => {
    expect(isLongerThan(1000, utf8('['.repeat(100_000)))).toBe(false)
  })
})
