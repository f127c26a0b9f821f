import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBase64, encodeBase64, encodeBase64Url } from '../../src/matrix/base64.ts'

const bytes = fc.uint8Array({ maxLength: 80 })

describe('base64', () => {
  it.each([
    ['', ''],
    ['66', 'Zg'],
    ['666f', 'Zm8'],
    ['666f6f', 'Zm9v'],
    ['666f6f62', 'Zm9vYg'],
    ['fbefff', '++//'],
  ])('writes %s without padding as %s', (hex, text) => {
    expect(encodeBase64(Buffer.from(hex, 'hex'))).toBe(text)
    expect(Buffer.from(decodeBase64(text) ?? []).toString('hex')).toBe(hex)
  })

  it('writes event ids in the URL-safe alphabet', () => {
    expect(encodeBase64Url(Buffer.from('fbefff66', 'hex'))).toBe('--__Zg')
  })

  it('writes a view of a larger buffer', () => {
    const view = new Uint8Array(Buffer.from('00fbefff00', 'hex')).subarray(1, 4)
    expect(encodeBase64(view)).toBe('++//')
    expect(encodeBase64Url(view)).toBe('--__')
  })

  it.each([
    ['a letter of the URL-safe alphabet', 'ab-_'],
    ['white space', 'Zm9v Zg'],
    ['a line break', 'Zm9v\n'],
    ['a leading space', ' Zm9v'],
    ['one letter too many', 'Zm9vZ'],
    ['one letter', 'Z'],
    ['padding too long', 'Zg==='],
    ['padding too short', 'Zg='],
    ['padding where none is due', 'Zm9v='],
    ['double padding where one is due', 'Zm8=='],
    ['padding alone', '='],
    ['padding alone, twice', '=='],
    ['padding inside', 'Zg==Zg=='],
    ['a full stop', 'Zm.9'],
    ['a letter beyond ASCII', 'Zm9é'],
    ['an escape', 'Zg%3D%3D'],
  ])('refuses %s', (_what, text) => {
    expect(decodeBase64(text)).toBeUndefined()
  })

  it('reads what Buffer writes, with and without padding, and writes the same', () => {
    fc.assert(
      fc.property(bytes, (given) => {
        const padded = Buffer.from(given).toString('base64')
        expect(Buffer.from(decodeBase64(padded) ?? []).equals(given)).toBe(true)
        expect(Buffer.from(decodeBase64(padded.replaceAll('=', '')) ?? []).equals(given)).toBe(true)
        expect(encodeBase64(given)).toBe(padded.replaceAll('=', ''))
        expect(encodeBase64Url(given)).toBe(Buffer.from(given).toString('base64url'))
      }),
    )
  })

  it('refuses any text with a character of another alphabet', () => {
    const junk = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => /[^A-Za-z0-9+/=]/u.test(text))
    fc.assert(
      fc.property(bytes, junk, (given, text) => {
        expect(decodeBase64(encodeBase64(given) + text)).toBeUndefined()
        expect(decodeBase64(text + encodeBase64(given))).toBeUndefined()
      }),
    )
  })

  it('never gives more or fewer bytes than the letters hold', () => {
    const letters = fc.string({ unit: fc.constantFrom(...'ABab01+/='), maxLength: 12 })
    fc.assert(
      fc.property(letters, (text) => {
        const decoded = decodeBase64(text)
        if (decoded === undefined) return
        expect(decoded.length).toBe(Math.floor((text.replaceAll('=', '').length * 3) / 4))
      }),
      { numRuns: 500 },
    )
  })
})
