/**
 * The listener for the homeserver next door: it is told of events here as an application service. Not for the public.
 * https://spec.matrix.org/latest/application-service-api/#homeserver---application-service-api
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isJsonObject, type JsonValue, parseJson } from '../matrix/json.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import { errorBody, INTERNAL_ERROR, JSON_TYPE, UNKNOWN_ENDPOINT, WRONG_METHOD } from './error-body.ts'
import { readBody } from './read-body.ts'

export interface AppservicePorts {
  /** `hs_token` of the registration. */
  readonly hsToken: string
  /** Takes the events of a transaction; it is answered when this has returned. */
  take(events: readonly JsonValue[]): void
  /** Somebody was refused who does not know the token. The reason is for the operator. */
  refused(reason: string): void
  /** The homeserver told of something that could not be taken. The reason is for the operator. */
  missed(reason: string): void
  /** A bug: the homeserver was told 500 and will try again. */
  failed(error: unknown): void
}

/** More than a hundred events, which is as many as homeservers put into one transaction, have in canonical form. */
const BODY_LIMIT = 8 * 1024 * 1024
const REQUEST_MS = 60_000

export function createAppserviceServer(ports: AppservicePorts): Server {
  const server = createServer({ requestTimeout: REQUEST_MS }, (request, response) => {
    answer(ports, request).then(
      (outcome) => send(response, outcome),
      (error) => {
        ports.failed(error)
        send(response, INTERNAL_ERROR)
      },
    )
  })
  server.setTimeout(2 * REQUEST_MS)
  return server
}

/** Undefined: 200 and an empty object. */
type Outcome = Refusal | undefined

const WRONG_TOKEN = refusal('M_FORBIDDEN', 'The homeserver token is wrong', 'application service: hs_token')
const NOTHING_THERE = refusal('M_NOT_FOUND', 'This application service has no users or aliases', 'application service')
const NOT_JSON = refusal('M_NOT_JSON', 'The body is not JSON', 'application service: transaction')
const BAD_JSON = refusal('M_BAD_JSON', 'events must be a list', 'application service: transaction')

/** The paths before version 1 are still asked for by old homeservers when the new ones fail. */
const PATH = /^(?:\/_matrix\/app\/v1)?\/(transactions|users|rooms|ping)(?:\/([^/]+))?$/
const METHOD_OF: Readonly<Record<string, string>> = { transactions: 'PUT', ping: 'POST', users: 'GET', rooms: 'GET' }

async function answer(ports: AppservicePorts, request: IncomingMessage): Promise<Outcome> {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2)
  const [, kind = '', argument] = PATH.exec(path) ?? []
  if (kind === '' || (kind === 'ping') !== (argument === undefined)) return UNKNOWN_ENDPOINT
  if (request.method !== METHOD_OF[kind]) return WRONG_METHOD
  if (!isAuthentic(ports.hsToken, request.headers.authorization, query)) {
    ports.refused('a request to the application service had a wrong hs_token')
    return WRONG_TOKEN
  }
  if (kind === 'users' || kind === 'rooms') return NOTHING_THERE
  const body = await readBody(request, BODY_LIMIT)
  if (kind === 'ping') return undefined
  if (body.kind === 'whole') return takeTransaction(ports, body.bytes)
  if (body.kind === 'broken off') return NOT_JSON
  // Refused, it would come again for ever and hold up all that follows.
  ports.missed(`a transaction of the homeserver is longer than ${BODY_LIMIT} bytes: it is passed over`)
  return undefined
}

function takeTransaction(ports: AppservicePorts, bytes: Uint8Array): Outcome {
  const events = eventsIn(bytes)
  if ('errcode' in events) {
    ports.missed(`the homeserver sent a transaction that cannot be read: ${events.error}`)
    return events
  }
  ports.take(events)
  return undefined
}

/**
 * The events of a transaction. They are in the clients' format and signed by nobody, so the strictness of signed JSON is
 * not asked of what surrounds them.
 */
function eventsIn(bytes: Uint8Array): readonly JsonValue[] | Refusal {
  const strict = parseJson(bytes)
  const value = strict.ok ? strict.value : lenient(bytes)
  if (value === undefined) return NOT_JSON
  const events = isJsonObject(value) ? value.events : undefined
  return Array.isArray(events) ? events : BAD_JSON
}

function lenient(bytes: Uint8Array): JsonValue | undefined {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as JsonValue
  } catch {
    return undefined
  }
}

/** By header, by query as older homeservers do it, or by both: then both must be right. */
function isAuthentic(hsToken: string, header: string | undefined, query: string): boolean {
  const bearer = header === undefined ? undefined : (/^Bearer +(.*)$/i.exec(header)?.[1] ?? '')
  const given = [bearer, ...new URLSearchParams(query).getAll('access_token')].filter((token) => token !== undefined)
  return given.length > 0 && given.every((token) => isSame(token, hsToken))
}

/** In constant time, whatever the lengths. */
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(wanted))
}

function send(response: ServerResponse, outcome: Outcome): void {
  const body = outcome === undefined ? '{}' : errorBody(outcome)
  response.writeHead(outcome?.status ?? 200, { 'content-type': JSON_TYPE }).end(body)
}
