/** The body of a send_knock as the event that it should be, or why it is none. Its sender may still be anybody. */
import { canonicalJson } from '../matrix/canonical-json.ts'
import { type Refusal, refusal } from '../matrix/errors.ts'
import { MAX_PDU_BYTES } from '../matrix/event.ts'
import { isJsonObject, type JsonObject, parseJson } from '../matrix/json.ts'
import { OWN_LACK, TOO_SLOW } from './error-body.ts'
import type { Body } from './read-body.ts'

export interface Content {
  readonly ok: true
  readonly object: JsonObject
  /** What was sent, or the canonical form of it where that was longer than any event. */
  readonly bytes: Uint8Array
}

/**
 * Where reading ends, in characters of the canonical form. The exact limit is that of the event's format, which is asked
 * later, in its place among the rules: what is a little too large gets the answer of the first rule that it breaks.
 */
const MOST_CHARACTERS = MAX_PDU_BYTES + 4 * 1024

const TOO_LARGE = refusal('M_TOO_LARGE', 'The request body is too large', 'request body')
const NO_OBJECT = refusal('M_BAD_JSON', 'The request body is not a JSON object', 'request body')
const NOT_WHOLE: Readonly<Record<Exclude<Arrived['kind'], 'whole'>, Refusal>> = {
  'too large': TOO_LARGE,
  'broken off': refusal('M_NOT_JSON', 'The request body is not whole', 'request body'),
  'too slow': TOO_SLOW,
  'no turn': { ...OWN_LACK, detail: 'too many request bodies at once' },
}

type Arrived = Body | { readonly kind: 'no turn' }

/**
 * Reads the event out of a body.
 * @returns `M_NOT_JSON`, `M_BAD_JSON` or `M_TOO_LARGE`, or 408 where it did not come in time
 */
export function readContent(body: Arrived): Content | Refusal {
  if (body.kind !== 'whole') return NOT_WHOLE[body.kind]
  const json = parseJson(body.bytes, MOST_CHARACTERS)
  if (!json.ok) return refusal(json.errcode, `The request body cannot be taken: ${json.reason}`, 'request body')
  if (!isJsonObject(json.value)) return NO_OBJECT
  return body.bytes.length > MAX_PDU_BYTES ? condensed(json.value) : { ok: true, object: json.value, bytes: body.bytes }
}

/** Strings that are cut out of a long text keep all of it in memory, as long as the event is there. These do not. */
function condensed(value: JsonObject): Content | Refusal {
  const bytes = canonicalJson(value)
  const json = parseJson(bytes)
  return json.ok && isJsonObject(json.value) ? { ok: true, object: json.value, bytes } : NO_OBJECT
}

/** The refusal of a body that is too large, whoever sent it; undefined for every other. */
export function refuseTooLarge({ kind }: Body): Refusal | undefined {
  return kind === 'too large' ? TOO_LARGE : undefined
}
