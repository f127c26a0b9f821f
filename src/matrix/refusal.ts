/**
 * Refusals as values: a Matrix error with its HTTP status and the rule that asked for it.
 * https://spec.matrix.org/latest/client-server-api/#standard-error-response
 */
import type { JsonObject } from './json.ts'

export type ErrorCode =
  | 'M_BAD_JSON'
  | 'M_FORBIDDEN'
  | 'M_INCOMPATIBLE_ROOM_VERSION'
  | 'M_INVALID_PARAM'
  | 'M_LIMIT_EXCEEDED'
  | 'M_MISSING_PARAM'
  | 'M_NOT_FOUND'
  | 'M_NOT_JSON'
  | 'M_TOO_LARGE'
  | 'M_UNAUTHORIZED'
  | 'M_UNKNOWN'
  | 'M_UNRECOGNIZED'
  | 'M_UNSUPPORTED_ROOM_VERSION'

export interface Refusal {
  readonly ok: false
  readonly status: number
  readonly errcode: ErrorCode
  /** For the remote's eyes: says what was wrong and nothing else about the room. */
  readonly error: string
  /** The rule of the specification, as a short citation: `auth v10 4.7.1`, `send_knock: state_key = sender`. */
  readonly rule: string
  /** Further keys of the error body, such as `room_version`. */
  readonly fields?: JsonObject
  /** What a 401 asks for, where it is more than X-Matrix. https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 */
  readonly challenge?: string
  /** For the operator's log alone. */
  readonly detail?: string
}

/** The HTTP status that goes with an error code on these endpoints. Authorisation failures are 403, structural ones 400. */
const STATUS: Readonly<Record<ErrorCode, number>> = {
  M_BAD_JSON: 400,
  M_FORBIDDEN: 403,
  M_INCOMPATIBLE_ROOM_VERSION: 400,
  M_INVALID_PARAM: 400,
  M_LIMIT_EXCEEDED: 429,
  M_MISSING_PARAM: 400,
  M_NOT_FOUND: 404,
  M_NOT_JSON: 400,
  M_TOO_LARGE: 413,
  M_UNAUTHORIZED: 401,
  M_UNKNOWN: 500,
  M_UNRECOGNIZED: 404,
  M_UNSUPPORTED_ROOM_VERSION: 400,
}

/**
 * A refusal with the status that its code stands for.
 * @param rule the rule's short citation, kept with the decision and shown by `explain`
 * @param fields further keys of the error body
 */
export function refusal(errcode: ErrorCode, error: string, rule: string, fields?: JsonObject): Refusal {
  const base = { ok: false, status: STATUS[errcode], errcode, error, rule } as const
  return fields === undefined ? base : { ...base, fields }
}
