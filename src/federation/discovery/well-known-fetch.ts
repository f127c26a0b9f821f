/**
 * Fetches `/.well-known/matrix/server`: over HTTPS only, following a few redirects, each hop resolved and filtered anew.
 * https://spec.matrix.org/latest/server-server-api/#resolving-server-names
 */
import { isIP } from 'node:net'
import { type Failure, failure } from '../failure.ts'
import type { HttpAgent } from '../http/agent.ts'
import type { Resolver } from './resolver.ts'
import { certificateNameOf, type Target } from './targets.ts'

export interface WellKnownAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface WellKnownTransport {
  readonly resolver: Resolver
  readonly agent: HttpAgent
  /** The port of URLs that name none. */
  readonly port: number
}

const MAX_BODY_BYTES = 50 * 1024
const MAX_REDIRECTS = 5
const MAX_ADDRESSES = 4
const REDIRECTS = new Set([301, 302, 303, 307, 308])

/**
 * Asks a host for its delegation.
 * @param deadline absolute time in milliseconds
 * @returns the last answer of the chain, or a failure where there was none: unreachable, not permitted, a loop, too many
 *   redirects, one that leaves HTTPS, or a body over 50 KiB
 */
export async function fetchWellKnown(
  transport: WellKnownTransport,
  hostname: string,
  deadline: number,
): Promise<WellKnownAnswer | Failure> {
  const seen = new Set<string>()
  let url: URL | undefined = parseUrl(`https://${hostname}/.well-known/matrix/server`)
  while (url !== undefined && !seen.has(url.href) && seen.size <= MAX_REDIRECTS) {
    seen.add(url.href)
    const answer = await get(transport, url, deadline)
    if ('kind' in answer || !REDIRECTS.has(answer.status)) return answer
    const location = answer.headers.location
    url = location === undefined ? undefined : parseUrl(location, url.href)
  }
  return failure('a redirect that leads nowhere', undefined)
}

function parseUrl(text: string, base?: string): URL | undefined {
  if (!URL.canParse(text, base)) return undefined
  const url = new URL(text, base)
  url.hash = ''
  return url.protocol === 'https:' && url.username === '' && url.password === '' ? url : undefined
}

async function get(transport: WellKnownTransport, url: URL, deadline: number): Promise<WellKnownAnswer | Failure> {
  const targets = await targetsOf(transport, url)
  if ('kind' in targets) return targets
  const request = { method: 'GET', path: `${url.pathname}${url.search}`, maxBytes: MAX_BODY_BYTES, deadline } as const
  const response = await transport.agent.requestAny(targets, request)
  if (response.kind === 'failed') return failure(response.reason, response.lack)
  const { status, headers, body } = response
  return { status, headers, body }
}

async function targetsOf({ resolver, port }: WellKnownTransport, url: URL): Promise<readonly Target[] | Failure> {
  const bare = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const literal = isIP(bare) !== 0
  const found = literal ? ({ kind: 'found', records: [bare] } as const) : await resolver.addresses(bare)
  if (found.kind === 'failed') return found
  if (found.kind === 'absent') return []
  const certificateName = certificateNameOf(bare)
  const to = {
    port: url.port === '' ? port : Number(url.port),
    host: url.host,
    servername: literal ? undefined : certificateName,
    certificateName,
  }
  return found.records.slice(0, MAX_ADDRESSES).map((address) => ({ ...to, address }))
}
