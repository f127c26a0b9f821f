/**
 * Bytes to JSON values, strictly: what canonical JSON cannot carry, or two parsers could read differently, is refused.
 * https://spec.matrix.org/latest/appendices/#canonical-json
 */
import { isUtf8 } from 'node:buffer'

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject

/** An object without Object.prototype behind it: `constructor` and `__proto__` are keys like any other. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined
}

export type JsonResult =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly errcode: 'M_NOT_JSON' | 'M_BAD_JSON'; readonly reason: string }

/** Arrays and objects may be nested this deep. What hashes and signs recurses, so the bound protects the stack. */
export const MAX_JSON_DEPTH = 100

/**
 * Reads one JSON text.
 * @param bytes the whole text in UTF-8, without a byte order mark
 * @returns the value, or `M_NOT_JSON` for wrong encoding or syntax, or `M_BAD_JSON` for JSON that has no canonical
 *   form: fractions, exponents, integers beyond 2^53 - 1, duplicate keys, unpaired surrogates, nesting over 100 levels
 * @see https://spec.matrix.org/latest/appendices/#canonical-json
 */
export function parseJson(bytes: Uint8Array): JsonResult {
  if (!isUtf8(bytes)) return { ok: false, errcode: 'M_NOT_JSON', reason: 'not valid UTF-8' }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  const reader = new Reader(text)
  try {
    return { ok: true, value: reader.document() }
  } catch (error) {
    if (error instanceof Flaw) return { ok: false, errcode: error.errcode, reason: error.message }
    throw error
  }
}

/** Whether a value is a JSON object, and not null or an array. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Leaves the descent at the first flaw; never seen outside this module. */
class Flaw extends Error {
  readonly errcode: 'M_NOT_JSON' | 'M_BAD_JSON'
  constructor(errcode: 'M_NOT_JSON' | 'M_BAD_JSON', message: string) {
    super(message)
    this.errcode = errcode
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}

/** `frac` and `exp` of a number, and no more that looks like a number. https://www.rfc-editor.org/rfc/rfc8259#section-6 */
const FRACTION_AND_EXPONENT = /(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.eE+-])/y

/** What is empty is one and the same: a text can hold many thousands of them. */
const NO_KEYS: JsonObject = Object.freeze(Object.create(null))
const NO_ITEMS: readonly JsonValue[] = Object.freeze([])

/** A cursor over one text: recursive descent, one method per production of RFC 8259. */
class Reader {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): JsonValue {
    this.#space()
    const value = this.#value()
    this.#space()
    if (this.#at < this.#text.length) throw this.#syntax('more after the value')
    return value
  }

  #value(): JsonValue {
    const code = this.#text.charCodeAt(this.#at)
    if (code === QUOTE) return this.#string()
    if (code === OPEN_BRACE) return this.#object()
    if (code === OPEN_BRACKET) return this.#array()
    if (code === MINUS || (code >= ZERO && code <= NINE)) return this.#integer()
    if (this.#word('true')) return true
    if (this.#word('false')) return false
    if (this.#word('null')) return null
    throw this.#syntax('a value is expected')
  }

  #object(): JsonObject {
    this.#enter()
    if (this.#code() === CLOSE_BRACE) return this.#leave(CLOSE_BRACE, NO_KEYS)
    const object: Record<string, JsonValue> = Object.create(null)
    for (;;) {
      if (this.#code() !== QUOTE) throw this.#syntax('a key is expected')
      const key = this.#string()
      if (key in object) throw new Flaw('M_BAD_JSON', 'an object has the same key twice')
      if (this.#code() !== COLON) throw this.#syntax('":" is expected')
      this.#at++
      this.#space()
      object[key] = this.#value()
      if (this.#code() !== COMMA) return this.#leave(CLOSE_BRACE, object)
      this.#at++
      this.#space()
    }
  }

  #array(): readonly JsonValue[] {
    this.#enter()
    if (this.#code() === CLOSE_BRACKET) return this.#leave(CLOSE_BRACKET, NO_ITEMS)
    const array = [this.#value()]
    while (this.#code() === COMMA) {
      this.#at++
      this.#space()
      array.push(this.#value())
    }
    return this.#leave(CLOSE_BRACKET, array)
  }

  #string(): string {
    const text = this.#text
    const start = this.#at + 1
    let at = start
    for (;;) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) {
        this.#at = at + 1
        // Characters that stand for themselves came out of valid UTF-8: no surrogate among them is unpaired.
        return text.slice(start, at)
      }
      if (code === BACKSLASH) return this.#escapedString(start, at)
      if (!(code >= 0x20)) throw this.#syntax('a string is not closed or holds a control character', at)
      at++
    }
  }

  #escapedString(start: number, firstEscape: number): string {
    const text = this.#text
    let value = text.slice(start, firstEscape)
    let at = firstEscape
    for (;;) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) break
      if (code === BACKSLASH) {
        value += this.#escape(at)
        at += text[at + 1] === 'u' ? 6 : 2
        continue
      }
      if (!(code >= 0x20)) throw this.#syntax('a string is not closed or holds a control character', at)
      const from = at
      while (at < text.length && text.charCodeAt(at) >= 0x20 && text.charCodeAt(at) !== QUOTE) {
        if (text.charCodeAt(at) === BACKSLASH) break
        at++
      }
      value += text.slice(from, at)
    }
    if (!value.isWellFormed()) throw new Flaw('M_BAD_JSON', 'a string holds an unpaired surrogate')
    this.#at = at + 1
    return value
  }

  #escape(at: number): string {
    const letter = this.#text[at + 1] ?? ''
    if (letter === 'u') {
      let unit = 0
      for (let digit = at + 2; digit < at + 6; digit++) unit = unit * 16 + hexDigit(this.#text.charCodeAt(digit))
      if (Number.isNaN(unit)) throw this.#syntax('\\u needs four hexadecimal digits', at)
      return String.fromCharCode(unit)
    }
    if (!Object.hasOwn(ESCAPES, letter)) throw this.#syntax('an unknown escape', at)
    return ESCAPES[letter] ?? ''
  }

  #integer(): number {
    const start = this.#at
    if (this.#text.charCodeAt(start) === MINUS) this.#at++
    const first = this.#text.charCodeAt(this.#at)
    const digits = this.#digits()
    if (digits === 0 || (first === ZERO && digits > 1)) throw this.#syntax('a number is malformed')
    const next = this.#text[this.#at]
    if (next === '.' || next === 'e' || next === 'E') throw this.#noInteger()
    const value = Number(this.#text.slice(start, this.#at))
    if (!Number.isSafeInteger(value)) throw new Flaw('M_BAD_JSON', 'an integer is beyond 2^53 - 1')
    return value === 0 ? 0 : value
  }

  /** Behind the digits of a number that goes on. One that RFC 8259 does not know is not JSON at all. */
  #noInteger(): Flaw {
    FRACTION_AND_EXPONENT.lastIndex = this.#at
    if (!FRACTION_AND_EXPONENT.test(this.#text)) return this.#syntax('a number is malformed')
    return new Flaw('M_BAD_JSON', 'a number has a fraction or an exponent')
  }

  #digits(): number {
    const start = this.#at
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (!(code >= ZERO && code <= NINE)) return this.#at - start
      this.#at++
    }
  }

  #enter(): void {
    if (++this.#depth > MAX_JSON_DEPTH) throw new Flaw('M_BAD_JSON', `nested deeper than ${MAX_JSON_DEPTH} levels`)
    this.#at++
    this.#space()
  }

  #leave<Value>(close: number, value: Value): Value {
    if (this.#code() !== close) throw this.#syntax('"," or the closing bracket is expected')
    this.#at++
    this.#depth--
    return value
  }

  #word(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false
    this.#at += word.length
    return true
  }

  /** The next code unit after white space; NaN at the end. */
  #code(): number {
    this.#space()
    return this.#text.charCodeAt(this.#at)
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #syntax(what: string, at = this.#at): Flaw {
    return new Flaw('M_NOT_JSON', `${what} at character ${at}`)
  }
}

/** NaN for what is none. */
function hexDigit(code: number): number {
  if (code >= ZERO && code <= NINE) return code - ZERO
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : Number.NaN
}
