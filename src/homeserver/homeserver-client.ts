/**
 * Requests to the homeserver next door: signed as the homeserver itself, over a connection of their own, with bounds on
 * time and size. https://spec.matrix.org/latest/server-server-api/#request-authentication
 */
import { createHmac, randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { Agent, type Dispatcher } from 'undici'
import { MARKER_HEADER, type OriginalRequest } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import { canonicalJson } from '../matrix/canonical-json.ts'
import type { Ed25519, SigningKey } from '../matrix/ed25519.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, parseJson } from '../matrix/json.ts'
import { retryAfterMs } from '../matrix/retry-after.ts'
import { authorizationOf } from '../matrix/x-matrix.ts'
import { readAtMost } from '../transport/read-at-most.ts'
import { trustingContext } from '../transport/trusting-context.ts'

export interface Answered {
  readonly kind: 'answered'
  readonly status: number
  readonly body: JsonObject | undefined
  /** The body as it came: of what it holds, some may be readable where all of it is not. */
  readonly bytes: Uint8Array
  /** One header of the answer, by its lower-case name. */
  header(name: string): string | undefined
}

export type HomeserverAnswer =
  | Answered
  /** No answer: not reachable, too late, too long. */
  | { readonly kind: 'failed'; readonly reason: string }

export interface ByteStream {
  readonly kind: 'stream'
  /** Never throws: where the connection breaks off, or the deadline comes, they end too early. */
  readonly bytes: AsyncIterable<Uint8Array>
  /** Why they ended too early, where they did. */
  failure(): string | undefined
}

export type HomeserverStream = ByteStream | HomeserverAnswer

/** Where the homeserver says how long to wait, as its limit on requests does, that is done while there is time. */
export interface HomeserverClient {
  /** Asks as the homeserver itself. @param uri from `/_matrix/` on @param deadline absolute time in milliseconds */
  get(uri: string, deadline: number): Promise<HomeserverAnswer>
  /** Asks without saying who asks. */
  getUnsigned(uri: string, deadline: number): Promise<HomeserverAnswer>
  /** Asks as the homeserver itself for a long answer: a 200 is given as a stream. */
  stream(uri: string, deadline: number): Promise<HomeserverStream>
  put(uri: string, content: JsonObject, deadline: number): Promise<HomeserverAnswer>
  /** Asks the client-server API with an access token. */
  post(uri: string, content: JsonObject, token: string, deadline: number): Promise<HomeserverAnswer>
  /** Sends on a request of another server, byte for byte. */
  forward(original: OriginalRequest, deadline: number): Promise<HomeserverAnswer>
  close(): Promise<void>
}

export interface HomeserverClientOptions {
  /** Scheme and authority. */
  readonly url: string
  readonly serverName: ServerName
  /** Undefined where the homeserver keeps its key to itself: then requests can only be sent on. */
  readonly signingKey: SigningKey | undefined
  readonly ed25519: Ed25519
  readonly clock: Clock
  /** Value of the marker header. */
  readonly marker: string
  /** Certificate authorities beside the usual, each a PEM text. */
  readonly caCertificates: readonly string[]
}

const CONNECTIONS = 16
/** Long answers have connections of their own: rooms that take their time keep none of the others waiting. */
const STREAM_CONNECTIONS = 16
/** So have questions that concern no room: what hangs for some room does not make the homeserver look dead. */
const UNSIGNED_CONNECTIONS = 2
const MAX_ANSWER_BYTES = 8 * 1024 * 1024
/** Several times the largest rooms that there are. */
const MAX_STREAM_BYTES = 1024 * 1024 * 1024
/** A short answer takes no longer, so that a homeserver that comes back is not waited for in vain. */
const SHORT_ANSWER_MS = 10_000

/**
 * The marker of all processes that serve this name with this key. Without the key there is nothing that they alone know, and
 * each has a marker of its own: whoever could compute it could have requests taken for ours.
 */
export function markerOf({
  serverName,
  signingKey,
}: Pick<HomeserverClientOptions, 'serverName' | 'signingKey'>): string {
  if (signingKey === undefined) return randomBytes(32).toString('base64url')
  return createHmac('sha256', signingKey.seed).update('matrix-knock marker\0').update(serverName).digest('base64url')
}

export function createHomeserverClient(options: HomeserverClientOptions): HomeserverClient {
  const { url, serverName, signingKey, ed25519, clock, marker, caCertificates } = options
  const { origin } = new URL(url)
  const connect = { secureContext: trustingContext(caCertificates) }
  const usually = { headersTimeout: 0, bodyTimeout: 0, connect }
  const short = new Agent({ ...usually, connections: CONNECTIONS })
  const long = new Agent({ ...usually, connections: STREAM_CONNECTIONS })
  const unsigned = new Agent({ ...usually, connections: UNSIGNED_CONNECTIONS })

  function signed(method: 'GET' | 'PUT', uri: string, content?: JsonObject): Record<string, string> {
    if (signingKey === undefined) throw new Error('requests as the homeserver itself need its signing key')
    const named = { method, uri, origin: serverName, destination: serverName, ...(content && { content }) }
    return { authorization: authorizationOf(named, signingKey, ed25519) }
  }

  async function send(
    agent: Agent,
    wanted: WantedRequest,
    deadline: number,
  ): Promise<Dispatcher.ResponseData | { readonly kind: 'failed'; readonly reason: string }> {
    const remaining = deadline - clock()
    if (remaining <= 0) return { kind: 'failed', reason: 'no time left' }
    try {
      return await agent.request({
        origin,
        path: wanted.uri,
        method: wanted.method,
        headers: wanted.headers ?? null,
        body: wanted.body ?? null,
        // It takes whole milliseconds alone, and throws else.
        signal: AbortSignal.timeout(Math.ceil(remaining)),
      })
    } catch (error) {
      return { kind: 'failed', reason: describe(error) }
    }
  }

  const usual = (headers: Record<string, string>) => ({
    accept: 'application/json',
    [MARKER_HEADER]: marker,
    ...headers,
  })
  /** Asks, and again where the homeserver says when. */
  async function patiently<Answer extends HomeserverStream>(
    attempt: () => Promise<Answer>,
    deadline: number,
  ): Promise<Answer> {
    for (;;) {
      const answer = await attempt()
      const waitMs = answer.kind === 'answered' ? askedToWait(answer, clock()) : undefined
      if (waitMs === undefined || clock() + waitMs >= deadline) return answer
      await pause(waitMs, undefined, { ref: false })
    }
  }
  const ask = (wanted: WantedRequest, deadline: number, agent = short): Promise<HomeserverAnswer> =>
    patiently(async () => {
      const response = await send(agent, wanted, deadline)
      return 'kind' in response ? response : read(response)
    }, deadline)

  return {
    get: (uri, deadline) =>
      ask({ method: 'GET', uri, headers: usual(signed('GET', uri)) }, Math.min(deadline, clock() + SHORT_ANSWER_MS)),
    getUnsigned: (uri, deadline) =>
      ask({ method: 'GET', uri, headers: usual({}) }, Math.min(deadline, clock() + SHORT_ANSWER_MS), unsigned),
    stream(uri, deadline) {
      const wanted = { method: 'GET', uri, headers: usual(signed('GET', uri)) } as const
      return patiently<HomeserverStream>(async () => {
        const response = await send(long, wanted, deadline)
        if ('kind' in response) return response
        return response.statusCode === 200 ? streamOf(response.body) : read(response)
      }, deadline)
    },
    put(uri, content, deadline) {
      const headers = usual({ ...signed('PUT', uri, content), 'content-type': 'application/json' })
      return ask({ method: 'PUT', uri, headers, body: canonicalJson(content) }, deadline)
    },
    post(uri, content, token, deadline) {
      const headers = usual({ authorization: `Bearer ${token}`, 'content-type': 'application/json' })
      return ask({ method: 'POST', uri, headers, body: canonicalJson(content) }, deadline)
    },
    forward({ method, uri, authorization, markers = [], body }, deadline) {
      const lines = authorization.flatMap((line) => ['authorization', line])
      const type = body === undefined ? [] : ['content-type', 'application/json']
      const headers = [...lines, ...type, 'accept', 'application/json', MARKER_HEADER, [...markers, marker].join(', ')]
      return ask({ method, uri, headers, ...(body && { body }) }, deadline)
    },
    async close() {
      await Promise.all([short, long, unsigned].map((agent) => agent.destroy()))
    },
  }
}

interface WantedRequest {
  readonly method: 'GET' | 'PUT' | 'POST'
  readonly uri: string
  readonly headers: Dispatcher.DispatchOptions['headers']
  readonly body?: Uint8Array
}

/** However little a homeserver asks for: it is asked no more often than this. */
const SHORTEST_WAIT_MS = 100

/** How long the homeserver asks to wait, in milliseconds; undefined where it says nothing of that. */
function askedToWait({ status, body, header }: Answered, now: number): number | undefined {
  if (status !== 429) return undefined
  const waitMs = retryAfterMs(header('retry-after'), body, now)
  return waitMs === undefined ? undefined : Math.max(waitMs, SHORTEST_WAIT_MS)
}

function streamOf(body: AsyncIterable<Uint8Array>): ByteStream {
  let failure: string | undefined
  async function* bytes(): AsyncGenerator<Uint8Array, void> {
    let size = 0
    try {
      for await (const chunk of body) {
        size += chunk.length
        if (size > MAX_STREAM_BYTES) {
          failure = `the answer is longer than ${MAX_STREAM_BYTES} bytes`
          return
        }
        yield chunk
      }
    } catch (error) {
      failure = describe(error)
    }
  }
  return { kind: 'stream', bytes: bytes(), failure: () => failure }
}

async function read({ statusCode: status, headers, body }: Dispatcher.ResponseData): Promise<HomeserverAnswer> {
  let bytes: Buffer | undefined
  try {
    bytes = await readAtMost(body, MAX_ANSWER_BYTES)
  } catch (error) {
    return { kind: 'failed', reason: describe(error) }
  }
  if (bytes === undefined) return { kind: 'failed', reason: `the answer is longer than ${MAX_ANSWER_BYTES} bytes` }
  const json = parseJson(bytes)
  return {
    kind: 'answered',
    status,
    bytes,
    body: json.ok && isJsonObject(json.value) ? json.value : undefined,
    header: (name) => [headers[name]].flat()[0],
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'the request failed'
  if (error.name === 'TimeoutError') return 'no answer in time'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}
