/**
 * Reference for canonical JSON, written letter by letter from the grammar.
 * https://spec.matrix.org/v1.19/appendices/#canonical-json
 */
import { isOracleObject, type OracleJson } from './json-value.ts'

const DEDICATED = new Map([
  [0x08, '\\b'],
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0c, '\\f'],
  [0x0d, '\\r'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
])

function codePoints(text: string): readonly number[] {
  return Array.from(text, (character) => character.codePointAt(0) ?? 0)
}

/** Compares code point by code point; the shorter of two texts that begin alike comes first. */
export function compareByCodePoint(left: string, right: string): number {
  const a = codePoints(left)
  const b = codePoints(right)
  for (let at = 0; ; at += 1) {
    const x = a[at]
    const y = b[at]
    if (x === undefined || y === undefined) return a.length - b.length
    if (x !== y) return x - y
  }
}

function quoted(text: string): string {
  let out = '"'
  for (const point of codePoints(text)) {
    if (point >= 0xd800 && point <= 0xdfff) throw new Error('an unpaired surrogate has no UTF-8 form')
    const dedicated = DEDICATED.get(point)
    if (dedicated !== undefined) out += dedicated
    else if (point < 0x20) out += `\\u00${point < 0x10 ? '0' : '1'}${'0123456789abcdef'.charAt(point % 16)}`
    else out += String.fromCodePoint(point)
  }
  return `${out}"`
}

function integer(value: number): string {
  if (!Number.isSafeInteger(value)) throw new Error('not an integer within 2^53 - 1')
  const digits = BigInt(value).toString()
  return digits
}

/** The canonical text of a value; throws for what canonical JSON cannot express. */
export function oracleCanonicalText(value: OracleJson): string {
  if (value === null) return 'null'
  if (value === true) return 'true'
  if (value === false) return 'false'
  if (typeof value === 'number') return integer(value)
  if (typeof value === 'string') return quoted(value)
  if (isOracleObject(value)) {
    const members = Object.entries(value).sort(([a], [b]) => compareByCodePoint(a, b))
    return `{${members.map(([key, held]) => `${quoted(key)}:${oracleCanonicalText(held)}`).join(',')}}`
  }
  return `[${value.map(oracleCanonicalText).join(',')}]`
}
