/**
 * Text on its way into the file and out of it. The binding ends every text at its first U+0000, and what other servers
 * name things by may hold one: it is written as two other characters, so that every text stays apart from every other
 * and in its order.
 */

const NUL = '\0'
const MARK = '\u0001'
const ESCAPED_NUL = '\u0001\u0001'
const ESCAPED_MARK = '\u0001\u0002'

/** The text as it is bound. */
export function toBound(text: string): string {
  if (!text.includes(NUL) && !text.includes(MARK)) return text
  return text.replaceAll(MARK, ESCAPED_MARK).replaceAll(NUL, ESCAPED_NUL)
}

/** The text of which toBound made this. */
export function fromBound(bound: string): string {
  if (!bound.includes(MARK)) return bound
  // Within a run of marks the pairs come first: an escaped mark ends with another character.
  return bound.replaceAll(ESCAPED_NUL, NUL).replaceAll(ESCAPED_MARK, MARK)
}
