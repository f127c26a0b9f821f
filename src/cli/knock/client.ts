/**
 * One signed request of a remote homeserver, with bounds on time and size.
 * https://spec.matrix.org/latest/server-server-api/#request-authentication
 */
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { canonicalJson } from '../../matrix/canonical-json.ts'
import { nativeEd25519, type SigningKey } from '../../matrix/ed25519.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, parseJson } from '../../matrix/json.ts'
import { authorizationOf } from '../../matrix/x-matrix.ts'
import { readAtMost } from '../../transport/read-at-most.ts'

/** A server that signs its requests. */
export interface Requester {
  readonly serverName: ServerName
  readonly key: SigningKey
}

/** Where requests go. */
export interface Via {
  /** Scheme and authority; a path has no place in it, because the request target is signed. */
  readonly base: URL
  /** Further certificate authorities, PEM. */
  readonly ca: string | undefined
}

export type Reply =
  | {
      readonly kind: 'answered'
      readonly status: number
      readonly body: JsonObject | undefined
      /** The WWW-Authenticate header of a 401. */
      readonly challenge: string | undefined
    }
  /** No answer: refused connection, wrong certificate, time-out, too long. */
  | { readonly kind: 'failed'; readonly reason: string }

/** Longer than a resident's own deadline, as proxies have it. */
const TIMEOUT_MS = 60_000
/** Seven events of the greatest size and some room. */
const MAX_ANSWER_BYTES = 1024 * 1024

/**
 * Sends a signed request and reads its answer.
 * @param target the raw request target from `/_matrix/` on
 * @param destination the resident's own server name, which is part of what is signed
 */
export function sendSigned(
  { serverName, key }: Requester,
  via: Via,
  destination: ServerName,
  { method, target, content }: { method: 'GET' | 'PUT'; target: string; content?: JsonObject },
): Promise<Reply> {
  const toSign = { method, uri: target, origin: serverName, destination, ...(content && { content }) }
  const authorization = authorizationOf(toSign, key, nativeEd25519)
  return exchange(via, method, target, { authorization }, content && canonicalJson(content))
}

/** A request without authentication. */
export function fetchUnsigned(via: Via, target: string): Promise<Reply> {
  return exchange(via, 'GET', target, {}, undefined)
}

function exchange(
  { base, ca }: Via,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer | undefined,
): Promise<Reply> {
  const bodyHeaders = body && { 'content-type': 'application/json', 'content-length': String(body.length) }
  const send = base.protocol === 'https:' ? requestHttps : requestHttp
  return new Promise((resolve) => {
    const fail = (error: NodeJS.ErrnoException): void =>
      resolve({ kind: 'failed', reason: error.message || (error.code ?? error.name) })
    const sent = send(base, {
      method,
      path,
      headers: { ...headers, ...bodyHeaders },
      agent: false,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(ca !== undefined && { ca }),
    })
    sent.on('error', fail)
    sent.on('response', (response) => {
      readAtMost(response, MAX_ANSWER_BYTES).then((bytes) => resolve(answered(response, bytes)), fail)
    })
    sent.end(body)
  })
}

function answered({ statusCode: status = 0, headers }: IncomingMessage, bytes: Buffer | undefined): Reply {
  if (bytes === undefined) return { kind: 'failed', reason: `the answer is longer than ${MAX_ANSWER_BYTES} bytes` }
  const parsed = parseJson(bytes)
  const body = parsed.ok && isJsonObject(parsed.value) ? parsed.value : undefined
  return { kind: 'answered', status, body, challenge: headers['www-authenticate'] }
}
