/**
 * How much a JSON text says, found out without making anything of it: white space and escapes can make a short event a long
 * text, and a long text of empty lists takes a hundred times its bytes once it is parsed.
 */
import { MAX_JSON_DEPTH } from './json.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LETTER_U = 0x75
/** `\uXXXX` and `\n` stand for one unit each. */
const LONG_ESCAPE = 6
const SHORT_ESCAPE = 2

/**
 * Whether the canonical form of a text surely has more than so many bytes. Looks at no more of it than that takes. A text that
 * is no JSON, or nested too deeply, may be said to have less: it is the reader that says what is wrong with it.
 * @param bytes a JSON text in UTF-8
 * @see https://spec.matrix.org/latest/appendices/#canonical-json
 */
export function isLongerThan(most: number, bytes: Uint8Array): boolean {
  if (bytes.length <= most) return false
  let characters = 0
  let depth = 0
  for (let at = 0; at < bytes.length && characters <= most; at++) {
    const byte = bytes[at] ?? 0
    if (byte <= 0x20 || byte === MINUS) continue
    characters++
    if (byte === QUOTE) {
      const text = passString(bytes, at + 1, most - characters)
      characters += text.characters + 1
      at = text.end
    } else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      if (++depth > MAX_JSON_DEPTH) return false
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) depth--
  }
  return characters > most
}

/** In a number: of `-0` it is not in the canonical form. */
const MINUS = 0x2d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** @returns where its closing quote is, or where there are more than so many characters in it */
function passString(bytes: Uint8Array, start: number, most: number): { characters: number; end: number } {
  let characters = 0
  let at = start
  while (at < bytes.length && characters <= most) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE) break
    if (byte === BACKSLASH) at += bytes[at + 1] === LETTER_U ? LONG_ESCAPE : SHORT_ESCAPE
    else at++
    // Bytes that go on with a character begin with 10.
    if ((byte & 0xc0) !== 0x80) characters++
  }
  return { characters, end: at }
}
