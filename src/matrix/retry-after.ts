/**
 * How long an answer asks to wait before the next request.
 * https://spec.matrix.org/latest/client-server-api/#rate-limiting
 */
import { isJsonObject, type JsonValue } from './json.ts'

/**
 * Reads `Retry-After`, in seconds or as a date, and where it says neither `retry_after_ms` of the error body.
 * @param header the value of `Retry-After`; undefined where the answer has none
 * @param body the error body; undefined where it is no JSON
 * @param now milliseconds since the epoch
 * @returns milliseconds, or undefined where the answer asks for no wait or for one that is over
 */
export function retryAfterMs(header: string | undefined, body: JsonValue | undefined, now: number): number | undefined {
  const waitMs = waitInHeader(header?.trim() ?? '', now) ?? waitInBody(body)
  return waitMs === undefined || waitMs < 0 ? undefined : waitMs
}

function waitInHeader(text: string, now: number): number | undefined {
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : date - now
}

function waitInBody(body: JsonValue | undefined): number | undefined {
  const waitMs = isJsonObject(body) ? body.retry_after_ms : undefined
  return typeof waitMs === 'number' ? waitMs : undefined
}
