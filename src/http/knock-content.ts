/** The body of a send_knock as the event that it should be, or why it is none. Its sender may still be anybody. */
import { type CanonicalMembers, canonicalMembers, canonicalObject } from '../matrix/canonical-json.ts'
import { MAX_PDU_BYTES } from '../matrix/event-format.ts'
import { isJsonObject, type JsonObject, parseJson } from '../matrix/json.ts'
import { isLongerThan } from '../matrix/json-length.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import { TOO_SLOW } from './error-body.ts'
import type { Body } from './read-body.ts'

/** What a body says. It may be cut out of the text of the body, and keep all of that in memory. */
export interface Content {
  readonly ok: true
  readonly object: JsonObject
  readonly members: CanonicalMembers
}

/** The content of an authentic request, for as long as it takes to answer it. */
export interface KeptContent {
  readonly object: JsonObject
  readonly members: CanonicalMembers
  /** What was sent, or the canonical form of it where that was longer than any event. */
  readonly bytes: Uint8Array
}

/**
 * What says more is not parsed: no event does. The exact limit is that of the event's format, which is asked later, in its
 * place among the rules, so that what is a little too large gets the answer of the first rule that it breaks.
 */
const MOST_BYTES = MAX_PDU_BYTES + 4 * 1024

const NO_OBJECT = refusal('M_BAD_JSON', 'The request body is not a JSON object', 'request body')
/** What is answered to a body that was not read to its end. */
export const NOT_WHOLE: Readonly<Record<Exclude<Body['kind'], 'whole'>, Refusal>> = {
  'too large': refusal('M_TOO_LARGE', 'The request body is too large', 'request body'),
  'broken off': refusal('M_NOT_JSON', 'The request body is not whole', 'request body'),
  'too slow': TOO_SLOW,
}

/**
 * Reads the event out of a body.
 * @returns `M_NOT_JSON`, `M_BAD_JSON` or `M_TOO_LARGE`
 */
export function readContent(bytes: Buffer): Content | Refusal {
  if (isLongerThan(MOST_BYTES, bytes)) return NOT_WHOLE['too large']
  const json = parseJson(bytes)
  if (!json.ok) return refusal(json.errcode, `The request body cannot be taken: ${json.reason}`, 'request body')
  if (!isJsonObject(json.value)) return NO_OBJECT
  return { ok: true, object: json.value, members: canonicalMembers(json.value) }
}

/**
 * What is kept of a body that turned out to be authentic: nothing of what is around its event.
 * @param bytes what the content was read from; they may be overwritten afterwards
 */
export function keepContent({ object, members }: Content, bytes: Buffer): KeptContent {
  if (bytes.length <= MAX_PDU_BYTES) return { object, members, bytes: Buffer.from(bytes) }
  const canonical = Buffer.from(canonicalObject(members))
  const json = parseJson(canonical)
  const kept = json.ok && isJsonObject(json.value) ? json.value : object
  return { object: kept, members: canonicalMembers(kept), bytes: canonical }
}
