/**
 * The guarded HTTPS client for requests to servers that strangers name: it connects to a checked address only, under
 * the certificate name that discovery says, and every dimension of an exchange has a bound.
 * https://spec.matrix.org/latest/server-server-api/#tls
 */
import { Readable } from 'node:stream'
import type { FairSlots } from '../../concurrency/fair-slots.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import { networkOf } from '../../matrix/ip-address.ts'
import { readAtMost } from '../../transport/read-at-most.ts'
import { trustingContext } from '../../transport/trusting-context.ts'
import type { AddressFilter } from '../discovery/address-filter.ts'
import type { Target } from '../discovery/targets.ts'
import { type Failure, failure, isMissing } from '../failure.ts'
import { type Connections, createConnectionPools } from './pools.ts'

export interface OutboundRequest {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** The raw request target, query included. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** In pieces: with a `content-length` among the headers. */
  readonly body?: Uint8Array | Iterable<Uint8Array>
  /** A longer response body fails. Bytes. */
  readonly maxBytes: number
  /** Absolute time in milliseconds at which the exchange fails. */
  readonly deadline: number
  /** Ends the exchange early. */
  readonly signal?: AbortSignal
  /** Asked by requestAny before it tries an address: false leaves it out. */
  readonly enter?: (address: string) => boolean
  /** Who causes it, where exchanges are shared among causes. */
  readonly cause?: string
}

export type OutboundResponse =
  | {
      readonly kind: 'response'
      readonly status: number
      /** Lower-case names; of repeated headers the values joined by commas. */
      readonly headers: Readonly<Record<string, string>>
      readonly body: Uint8Array
    }
  /** `status` is there where the head of a response had come. */
  | (Failure & { readonly status?: number })

export interface HttpAgent {
  /** One exchange with one target. TLS and network errors are values; redirects are responses like any other. */
  request(target: Target, request: OutboundRequest): Promise<OutboundResponse>
  /**
   * Tries the targets in their order until one responds or the deadline has passed. Each but the last has half of the
   * time that is left, so that one that is silent leaves some for the others.
   */
  requestAny(targets: readonly Target[], request: OutboundRequest): Promise<OutboundResponse>
  /** Ends all connections, those in use too. */
  close(): Promise<void>
}

export interface HttpAgentOptions {
  readonly filter: AddressFilter
  readonly clock: Clock
  /** Certificate authorities beside the system's, each a PEM text. */
  readonly caCertificates?: readonly string[]
  /** Longest time to connect and shake hands, in milliseconds. Default 4000. */
  readonly connectTimeoutMs?: number
  /** Targets to which connections are open at a time, unless more are in use. Default 128. */
  readonly maxTargets?: number
  /** Connections to each. Default 4. */
  readonly perTarget?: number
  /** Exchanges take turns, fairly by the address asked and by cause. They do not where left out. */
  readonly turns?: FairSlots
}

/** Head and early hints. The body may come in chunks that are as large again as what they carry. */
const MAX_BYTES_AROUND = 64 * 1024
/** What had a connection has ended by then, and knows the status if there was one. */
const END_WITHIN_MS = 100
/** What any time-out may be set to. A deadline that lies further ahead is of a clock that went back since. */
const LONGEST_MS = 3_600_000
const USER_AGENT = 'matrix-knock'

export function createHttpAgent(options: HttpAgentOptions): HttpAgent {
  const { filter, clock, turns, connectTimeoutMs = 4_000, maxTargets = 128, perTarget = 4 } = options
  const secureContext = trustingContext(options.caCertificates ?? [])
  const pools = createConnectionPools({ secureContext, connectTimeoutMs, maxTargets, perTarget })

  async function request(target: Target, wanted: OutboundRequest): Promise<OutboundResponse> {
    const remaining = Math.min(wanted.deadline - clock(), LONGEST_MS)
    if (remaining <= 0) return { kind: 'failed', reason: 'no time left' }
    // The very address that was checked is connected to: no name is resolved after this line.
    if (!filter.permits(target.address)) return { kind: 'failed', reason: `${target.address} is not permitted` }
    const ending = new AbortController()
    const timer = setTimeout(() => ending.abort(new DOMException('too late', 'TimeoutError')), remaining)
    const breakOff = () => ending.abort()
    // Taken off again below: the caller's signal can live as long as the process.
    wanted.signal?.addEventListener('abort', breakOff)
    if (wanted.signal?.aborted) breakOff()
    const attempt = (): Promise<OutboundResponse> => {
      const exchanged = pools.use(target, (connections) => exchange(connections, target, wanted, ending.signal))
      return Promise.race([exchanged, unconnected(ending.signal)])
    }
    try {
      return await (turns === undefined ? attempt() : inTurn(turns, target, wanted, remaining, ending, attempt))
    } finally {
      clearTimeout(timer)
      wanted.signal?.removeEventListener('abort', breakOff)
    }
  }

  return {
    request,
    async requestAny(targets, wanted) {
      let failed: Failure = { kind: 'failed', reason: 'no address' }
      for (const [at, target] of targets.entries()) {
        if (wanted.enter?.(target.address) === false) continue
        const share = (wanted.deadline - clock()) / (at === targets.length - 1 ? 1 : 2)
        const answer = await request(target, { ...wanted, deadline: clock() + share })
        if (answer.kind === 'response' || answer.status !== undefined) return answer
        // One that could not be tried might have answered.
        failed = failed.lack === undefined ? answer : failed
        if (wanted.signal?.aborted || clock() >= wanted.deadline) break
      }
      return failed
    },
    close: () => pools.destroy(),
  }
}

/** Waits for a turn, and gives it up to those that wait where the exchange takes long. */
async function inTurn(
  turns: FairSlots,
  { address }: Target,
  { cause }: OutboundRequest,
  waitMs: number,
  ending: AbortController,
  attempt: () => Promise<OutboundResponse>,
): Promise<OutboundResponse> {
  const causes = [`to ${networkOf(address)}`, ...(cause === undefined ? [] : [cause])]
  const tried = await turns.run(
    causes,
    (gaveWay) => {
      gaveWay.addEventListener('abort', () => ending.abort(GAVE_WAY), { once: true })
      return attempt()
    },
    waitMs,
  )
  return tried ?? { kind: 'failed', reason: 'too many connections at once', lack: 'missing' }
}

const GAVE_WAY = new DOMException('gave way', 'GaveWayError')

/** undici ends no request before it has a connection: one that is still being made must not hold up its caller. */
function unconnected(signal: AbortSignal): Promise<OutboundResponse> {
  return new Promise((resolve) => {
    const end = () => setTimeout(resolve, END_WITHIN_MS, failureOf(signal.reason))
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}

async function exchange(
  { pool, allowance }: Connections,
  target: Target,
  { method, path, headers, body, maxBytes }: OutboundRequest,
  signal: AbortSignal,
): Promise<OutboundResponse> {
  let status: number | undefined
  allowance.begin(MAX_BYTES_AROUND + 2 * maxBytes)
  try {
    const response = await pool.request({
      method,
      path,
      headers: { 'user-agent': USER_AGENT, ...headers, host: target.host },
      body: body === undefined ? null : body instanceof Uint8Array ? body : Readable.from(body),
      signal,
    })
    status = response.statusCode
    const bytes = await readAtMost(response.body, maxBytes)
    if (bytes === undefined) return { kind: 'failed', reason: `the response is larger than ${maxBytes} bytes`, status }
    return { kind: 'response', status, headers: flatten(response.headers), body: bytes }
  } catch (error) {
    const failed = failureOf(error)
    return status === undefined ? failed : { ...failed, status }
  } finally {
    allowance.end()
  }
}

function flatten(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}

function failureOf(error: unknown): Failure {
  const reason = describe(error)
  if (error instanceof DOMException && error.name === GAVE_WAY.name) return failure(reason, 'crowded')
  return failure(reason, isMissing(reason) ? 'missing' : undefined)
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'the request failed'
  if (error.name === 'TimeoutError') return 'no answer in time'
  if (error.name === GAVE_WAY.name) return 'no answer while others waited for the connection'
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
  return code === 'ABORT_ERR' || error.name === 'AbortError' ? 'ended early' : code
}
