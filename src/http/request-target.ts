/**
 * Request targets, matched and taken apart as they stand on the wire: X-Matrix signs these bytes, so nothing may be
 * decoded, merged or completed on the way. https://spec.matrix.org/latest/server-server-api/#request-authentication
 */
import { unescape as unescapeQuery } from 'node:querystring'

export type RouteName = 'make_knock' | 'send_knock'

export interface KnockTarget {
  readonly route: RouteName
  /** What is signed: the target from its first slash on, query included. */
  readonly uri: string
  /** The two path segments after the route, still percent-encoded, neither of them empty. */
  readonly segments: readonly [string, string]
  /** After the question mark. */
  readonly query: string
}

/** The one method of each route. */
export const METHOD_OF: Readonly<Record<RouteName, string>> = { make_knock: 'GET', send_knock: 'PUT' }

const PREFIX = '/_matrix/federation/v1/'
const AUTHORITY = /^https?:\/\/[^/?#]*/i

/**
 * Reads a request target.
 * @param target as in the request line; absolute form loses its scheme and authority
 * @returns undefined for every path that is not exactly one of the two routes with two segments
 */
export function parseTarget(target: string): KnockTarget | undefined {
  const uri = target.startsWith('/') ? target : target.replace(AUTHORITY, '')
  if (!uri.startsWith(PREFIX)) return undefined
  const question = uri.indexOf('?')
  const path = question < 0 ? uri : uri.slice(0, question)
  const slash = path.indexOf('/', PREFIX.length)
  const route = path.slice(PREFIX.length, slash)
  if (route !== 'make_knock' && route !== 'send_knock') return undefined
  const [first, second, ...more] = path.slice(slash + 1).split('/')
  if (!first || !second || more.length > 0) return undefined
  return { route, uri, segments: [first, second], query: question < 0 ? '' : uri.slice(question + 1) }
}

const ASCII = /^[!-~]*$/

/** Decodes a path segment once, as UTF-8. @returns undefined where its escapes are malformed */
export function decodeSegment(segment: string): string | undefined {
  if (!ASCII.test(segment)) return undefined
  if (!segment.includes('%')) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/** The values of `ver` in a query, in their order. */
export function readVersions(query: string): readonly string[] {
  const versions: string[] = []
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    const name = equals < 0 ? pair : pair.slice(0, equals)
    if (name === 'ver' || decodeQuery(name) === 'ver')
      versions.push(equals < 0 ? '' : decodeQuery(pair.slice(equals + 1)))
  }
  return versions
}

function decodeQuery(text: string): string {
  return /[%+]/.test(text) ? unescapeQuery(text.replaceAll('+', ' ')) : text
}
