/**
 * JSON values to the one byte string that Matrix hashes and signs.
 * https://spec.matrix.org/latest/appendices/#canonical-json
 */
import { walk } from 'canonical-json'
import type { JsonObject, JsonValue } from './json.ts'

/**
 * The canonical form of a value, as text.
 * @param value JSON as parseJson gives it: no fractions, no unpaired surrogates, at most 100 levels
 */
export function canonicalJsonText(value: JsonValue): string {
  let text = ''
  walk(
    value,
    (chunk) => {
      text += chunk
    },
    compareCodePoints,
  )
  return text
}

/** The canonical form of a value, in UTF-8. */
export function canonicalJson(value: JsonValue): Buffer {
  return Buffer.from(canonicalJsonText(value), 'utf8')
}

/** The members of an object in their canonical order: each key, and the canonical text of key and value. */
export type CanonicalMembers = readonly (readonly [key: string, text: string])[]

/** An object taken apart, so that several texts can be made of it without walking its values again. */
export function canonicalMembers(object: JsonObject): CanonicalMembers {
  const keys = Object.keys(object).sort(compareCodePoints)
  return keys.map((key) => [key, canonicalMember(key, object[key] ?? null)] as const)
}

/** The canonical text of one member. */
export function canonicalMember(key: string, value: JsonValue): string {
  return `${canonicalJsonText(key)}:${canonicalJsonText(value)}`
}

/** The canonical text of an object of these members, but for some. */
export function canonicalObject(members: CanonicalMembers, without: readonly string[] = []): string {
  let text = ''
  for (const [key, member] of members) {
    if (!without.includes(key)) text += text === '' ? member : `,${member}`
  }
  return `{${text}}`
}

/**
 * Orders strings by Unicode code point. JavaScript's own order is by UTF-16 unit, which puts the surrogates of
 * U+10000 and above before U+E000 to U+FFFF.
 */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at)
    const right = b.charCodeAt(at)
    if (left === right) continue
    const leftSurrogate = isSurrogate(left)
    return leftSurrogate === isSurrogate(right) ? left - right : leftSurrogate ? 1 : -1
  }
  return a.length - b.length
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff
}
