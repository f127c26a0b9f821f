/**
 * One JSON object a level deep: its keys, and the bytes of its values, whatever those hold. For objects of which some part
 * cannot be read, or not by everybody alike: the part is passed over and the rest is read strictly.
 */
import { parseJson } from './json.ts'
import { isSpace, JsonExtent } from './json-extent.ts'

export interface JsonMember {
  readonly key: string
  /** The value, as it stands in the text. */
  readonly bytes: Uint8Array
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/**
 * Takes an object apart.
 * @returns its members in their order, a key that is there twice twice, and without those whose key cannot be read;
 *   undefined where the bytes are no object
 */
export function readJsonMembers(bytes: Uint8Array): readonly JsonMember[] | undefined {
  const members: JsonMember[] = []
  let at = afterSpace(bytes, 0)
  if (bytes[at] !== OPEN_BRACE) return undefined
  at = afterSpace(bytes, at + 1)
  if (bytes[at] === CLOSE_BRACE) return isEnd(bytes, at + 1) ? members : undefined
  for (;;) {
    if (bytes[at] !== QUOTE) return undefined
    const keyEnd = new JsonExtent().end(bytes, at)
    if (keyEnd === undefined) return undefined
    const key = parseJson(bytes.subarray(at, keyEnd))
    const colon = afterSpace(bytes, keyEnd)
    if (bytes[colon] !== COLON) return undefined
    const from = afterSpace(bytes, colon + 1)
    const to = new JsonExtent().end(bytes, from)
    if (to === undefined || to === from) return undefined
    if (key.ok) members.push({ key: key.value as string, bytes: bytes.subarray(from, to) })
    at = afterSpace(bytes, to)
    if (bytes[at] === CLOSE_BRACE) return isEnd(bytes, at + 1) ? members : undefined
    if (bytes[at] !== COMMA) return undefined
    at = afterSpace(bytes, at + 1)
  }
}

function afterSpace(bytes: Uint8Array, from: number): number {
  let at = from
  while (isSpace(bytes[at] ?? 0)) at++
  return at
}

function isEnd(bytes: Uint8Array, from: number): boolean {
  return afterSpace(bytes, from) === bytes.length
}
