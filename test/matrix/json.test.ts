import { describe, expect, it } from 'vitest'
import { isJsonObject, MAX_JSON_DEPTH, parseJson } from '../../src/matrix/json.ts'
import { jsonOf, objectOfText } from './given.ts'

function read(text: string) {
  return parseJson(Buffer.from(text, 'utf8'))
}

describe('strict JSON reader', () => {
  it.each([
    ['{"a":1.0}', 'fraction'],
    ['{"a":1e3}', 'exponent'],
    ['{"a":1E3}', 'exponent'],
    ['[0.5]', 'fraction'],
    ['[-0e1]', 'exponent'],
    ['1e+5', 'exponent'],
    ['[1E-05 ]', 'exponent'],
    ['{"a":-12.50e10}', 'fraction'],
    ['9007199254740993.5', 'fraction'],
    ['{"a":9007199254740992}', '2^53'],
    ['{"a":-9007199254740992}', '2^53'],
    ['{"a":123456789012345678901234567890}', '2^53'],
    ['{"a":1,"a":1}', 'twice'],
    ['{"a":1,"\\u0061":2}', 'twice'],
    ['{"__proto__":1,"__proto__":2}', 'twice'],
    ['[{"x":{"k":1,"b":2,"k":3}}]', 'twice'],
    ['{"a":"\\ud800"}', 'surrogate'],
    ['{"a":"\\udc00\\ud800"}', 'surrogate'],
    ['{"\\udfff":1}', 'surrogate'],
    ['["x\\ud83dx\\ude00"]', 'surrogate'],
  ])('D3 refuses %s with M_BAD_JSON', (text, reason) => {
    expect(read(text)).toMatchObject({ ok: false, errcode: 'M_BAD_JSON', reason: expect.stringContaining(reason) })
  })

  it.each([
    ['', 'a value'],
    [' ', 'a value'],
    ['{', 'a key'],
    ['{"a"}', '":"'],
    ['{"a" 1}', '":"'],
    ['{"a":}', 'a value'],
    ['{"a":1,}', 'a key'],
    ['{,}', 'a key'],
    ['{a:1}', 'a key'],
    ["{'a':1}", 'a key'],
    ['[1,]', 'a value'],
    ['[1 2]', 'closing'],
    ['[1}', 'closing'],
    ['{"a":1]', 'closing'],
    ['[', 'a value'],
    ['[1', 'closing'],
    ['1 1', 'more'],
    ['{} x', 'more'],
    ['01', 'malformed'],
    ['-', 'malformed'],
    ['-a', 'malformed'],
    ['1.', 'malformed'],
    ['{"a":1.}', 'malformed'],
    ['-1.', 'malformed'],
    ['1.e5', 'malformed'],
    ['1.a', 'malformed'],
    ['1e', 'malformed'],
    ['[1E]', 'malformed'],
    ['1e+', 'malformed'],
    ['1e-]', 'malformed'],
    ['1.5e', 'malformed'],
    ['1.5.5', 'malformed'],
    ['1e5.5', 'malformed'],
    ['1e5e5', 'malformed'],
    ['1e+-5', 'malformed'],
    ['1..5', 'malformed'],
    ['01.5', 'malformed'],
    ['-01', 'malformed'],
    ['-.5', 'malformed'],
    ['00', 'malformed'],
    ['--1', 'malformed'],
    ['9007199254740993.', 'malformed'],
    ['+1', 'a value'],
    ['.5', 'a value'],
    ['NaN', 'a value'],
    ['Infinity', 'a value'],
    ['undefined', 'a value'],
    ['tru', 'a value'],
    ['truex', 'more'],
    ['TRUE', 'a value'],
    ['"', 'not closed'],
    ['"a', 'not closed'],
    ['"a\\n', 'not closed'],
    ['"a\nb"', 'control character'],
    ['"\u0000"', 'control character'],
    ['"\\n\u001f"', 'control character'],
    ['"\\x41"', 'escape'],
    ['"\\', 'escape'],
    ['"\\u12"', 'hexadecimal'],
    ['"\\u12g4"', 'hexadecimal'],
    ['"\\u-123"', 'hexadecimal'],
    ['"\\constructor"', 'escape'],
    ['/* c */ 1', 'a value'],
    ['\u00a01', 'a value'],
    ['\u000b1', 'a value'],
    ['\ufeff{}', 'a value'],
  ])('D3 refuses %j with M_NOT_JSON', (text, reason) => {
    expect(read(text)).toMatchObject({ ok: false, errcode: 'M_NOT_JSON', reason: expect.stringContaining(reason) })
  })

  it.each([
    ['an invalid byte', [0x22, 0xff, 0x22]],
    ['an overlong form', [0x22, 0xc0, 0x80, 0x22]],
    ['a surrogate in UTF-8', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a cut sequence', [0x22, 0xe2, 0x82]],
    ['UTF-16', [0x7b, 0x00, 0x7d, 0x00, 0xff, 0xfe]],
  ])('D3 refuses %s', (_what, bytes) => {
    expect(parseJson(Uint8Array.from(bytes))).toMatchObject({ ok: false, errcode: 'M_NOT_JSON' })
  })

  it('D3 refuses a byte order mark', () => {
    expect(parseJson(Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d]))).toMatchObject({ ok: false, errcode: 'M_NOT_JSON' })
  })

  it(`reads ${MAX_JSON_DEPTH} levels of nesting and refuses one more, however many follow`, () => {
    const nested = (open: string, close: string, levels: number) => open.repeat(levels) + close.repeat(levels)
    expect(read(nested('[', ']', MAX_JSON_DEPTH)).ok).toBe(true)
    expect(read(`${'{"a":'.repeat(MAX_JSON_DEPTH)}1${'}'.repeat(MAX_JSON_DEPTH)}`).ok).toBe(true)
    for (const levels of [MAX_JSON_DEPTH + 1, 100_000]) {
      expect(read(nested('[', ']', levels))).toMatchObject({
        errcode: 'M_BAD_JSON',
        reason: expect.stringMatching(/nested/),
      })
      expect(read('{"a":'.repeat(levels))).toMatchObject({
        errcode: 'M_BAD_JSON',
        reason: expect.stringMatching(/nested/),
      })
    }
    expect(read(`[${'[],'.repeat(500)}[]]`).ok).toBe(true)
  })

  it('D4 keeps awkward keys as own keys of objects without a prototype', () => {
    const object = objectOfText('{"__proto__":{"a":1},"constructor":2,"9":3,"":4}')
    expect(Object.getPrototypeOf(object)).toBeNull()
    expect(Object.keys(object).sort()).toEqual(['', '9', '__proto__', 'constructor'])
    expect(JSON.stringify(Object.entries(object).find(([key]) => key === '__proto__'))).toBe('["__proto__",{"a":1}]')
    expect(object.toString).toBeUndefined()
  })

  it('reads every escape, pairs of surrogates and white space of all four kinds', () => {
    expect(jsonOf('\t\n\r ["\\"\\\\\\/\\b\\f\\n\\r\\t","\\ud83d\\ude00\\u00e9\\u00E9é"] \t\n\r')).toEqual([
      '"\\/\b\f\n\r\t',
      '\u{1f600}ééé',
    ])
  })

  it('reads scalars and integers up to the limits, and negative zero as zero', () => {
    expect(jsonOf('[9007199254740991,-9007199254740991,0,-1,true,false,null,"",{}, []]')).toEqual([
      9007199254740991,
      -9007199254740991,
      0,
      -1,
      true,
      false,
      null,
      '',
      Object.create(null),
      [],
    ])
    expect(Object.is(jsonOf('-0'), 0)).toBe(true)
  })

  it('names the place of a syntax error', () => {
    expect(read('[1, x]')).toMatchObject({ reason: expect.stringContaining('at character 4') })
    expect(read('["ab\\q"]')).toMatchObject({ reason: expect.stringContaining('at character 4') })
  })

  it('reads a view of a larger buffer', () => {
    const whole = Buffer.from('xx{"a":1}yy')
    expect(parseJson(whole.subarray(2, 9))).toMatchObject({ ok: true })
    expect(parseJson(new Uint8Array(whole).subarray(2, 9))).toMatchObject({ ok: true })
  })

  it.each([
    [null, false],
    [[], false],
    ['{}', false],
    [0, false],
    [undefined, false],
    [{}, true],
  ])('tells objects from %j', (value, expected) => {
    expect(isJsonObject(value)).toBe(expected)
  })
})
