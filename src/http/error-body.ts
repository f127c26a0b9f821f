/**
 * Error bodies in the one shape that Matrix has, whatever went wrong and wherever.
 * https://spec.matrix.org/latest/client-server-api/#standard-error-response
 */
import { type Refusal, refusal } from '../matrix/refusal.ts'

/** With the charset that Fastify would add to each answer anew. */
export const JSON_TYPE = 'application/json; charset=utf-8'

/** The body of a refusal, serialised. */
export function errorBody({ errcode, error, fields }: Refusal): string {
  return JSON.stringify({ errcode, error, ...fields })
}

export const UNKNOWN_ENDPOINT = refusal('M_UNRECOGNIZED', 'Unknown endpoint', 'endpoint known')

export const WRONG_METHOD: Refusal = {
  ...refusal('M_UNRECOGNIZED', 'This endpoint does not have that method', 'method of the endpoint'),
  status: 405,
}

export const INTERNAL_ERROR = refusal('M_UNKNOWN', 'Internal server error', 'internal error')

export const TOO_LATE = refusal('M_UNKNOWN', 'The request took too long, try again', 'timeouts.request_seconds')

/**
 * We had not what it takes to check a request. Any other status would be false, and 401, 429 and 5xx would make a remote
 * turn away from the whole homeserver. docs/decisions/0014-work-before-authentication.md
 */
export const OWN_LACK: Refusal = {
  ...refusal('M_UNKNOWN', 'This server could not check the request in time, try again', 'own lack'),
  status: 408,
}

export const TOO_MANY_REQUESTS = refusal('M_LIMIT_EXCEEDED', 'Too many requests', 'limits.per_address')

/** An HTTP status that is no fault of the Matrix part of a request: a request line of junk, headers that are too long. */
export function httpRefusal(status: number): Refusal {
  if (status === 413 || status === 414 || status === 431) {
    return { ...refusal('M_TOO_LARGE', 'The request is too large', 'HTTP'), status }
  }
  if (status === 429) return TOO_MANY_REQUESTS
  if (status >= 500) return INTERNAL_ERROR
  const error = HTTP_ERRORS[status] ?? 'The request is not valid HTTP'
  return { ...refusal('M_UNRECOGNIZED', error, 'HTTP'), status }
}

const HTTP_ERRORS: Readonly<Record<number, string>> = {
  408: 'The request did not arrive in time',
  417: 'That expectation cannot be met',
}

/** A body that did not come in time, or slowly while others waited. */
export const TOO_SLOW = httpRefusal(408)
