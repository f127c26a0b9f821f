/** What a reverse proxy has to know: which requests it sends to this service, and where they go when it does not answer. */
import type { Problem } from '../problem.ts'
import { reachableAddress } from '../reachable.ts'
import type { Config } from '../schema.ts'

/** The paths of the two calls; everything below them belongs to this service. */
export const KNOCK_PATHS = ['/_matrix/federation/v1/make_knock/', '/_matrix/federation/v1/send_knock/'] as const

/** In every way to the homeserver, as comments. */
export const FALLBACK_NOTE = `# The homeserver knocks by itself where there is no connection to matrix-knock, and only there. That goes past its lists of
# servers (allow_servers, deny_servers) and its limits; generate-proxy --no-fallback leaves it out.
`

/** What proxies usually wait for an answer. */
const USUAL_WAIT_SECONDS = 60
const MARGIN_SECONDS = 10

export interface ProxyRoutes {
  /** `HOST:PORT` of this service. */
  readonly service: string
  /** Origin of a homeserver that has knocking itself, as `http://127.0.0.1:8008`. */
  readonly fallback: URL | undefined
  /** How long to wait for an answer: longer than the service takes for any. */
  readonly waitSeconds: number
}

export type ProxyWay = 'with fallback' | 'without fallback'

/** Keys of the configuration that a way round the service goes past. */
export function goesPast({ federation, limits }: Config): readonly string[] {
  const lists = { allow_servers: federation.allow_servers ?? [], deny_servers: federation.deny_servers }
  const { per_user, per_room, per_server } = limits
  return [
    ...Object.entries(lists).flatMap(([key, list]) => (list.length > 0 ? [`federation.${key}`] : [])),
    ...Object.entries({ per_user, per_room, per_server }).flatMap(([key, limit]) => (limit ? [`limits.${key}`] : [])),
  ]
}

export type ProxyRoutesResult =
  | { readonly ok: true; readonly routes: ProxyRoutes }
  | { readonly ok: false; readonly problem: Problem }

/**
 * The routes of a configuration, or why no proxy can follow them.
 * @param way whether the homeserver is asked where there is no connection to the service
 */
export function proxyRoutes({ listen, homeserver, timeouts }: Config, way: ProxyWay): ProxyRoutesResult {
  if (listen.tls !== undefined)
    return refused('listen.tls', 'is there, so that no proxy is needed; expected it left out')
  if (listen.port === 0) {
    return refused('listen.port', 'is 0, any free port, which no proxy can know; expected an integer from 1 to 65535')
  }
  if (!/^[A-Za-z0-9.:_-]+$/.test(listen.host)) {
    return refused('listen.host', `is ${JSON.stringify(listen.host)}; expected an address or host name`)
  }
  const { handover, url } = homeserver
  const canKnock = way === 'with fallback' && handover === 'forward'
  const fallback = canKnock && url !== undefined ? new URL(url) : undefined
  const waitSeconds = Math.max(USUAL_WAIT_SECONDS, Math.ceil(timeouts.request_seconds) + MARGIN_SECONDS)
  return { ok: true, routes: { service: reachableAddress(listen.host, listen.port), fallback, waitSeconds } }
}

/** `HOST:PORT` of an origin, the port of its scheme where it names none. */
export function addressOf({ hostname, port, protocol }: URL): string {
  return `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`
}

function refused(key: string, what: string): ProxyRoutesResult {
  return { ok: false, problem: { key, what } }
}
