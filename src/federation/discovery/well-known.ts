/**
 * Delegation of a server name by `/.well-known/matrix/server`, fetched under guard and cached as long as it says.
 * https://spec.matrix.org/latest/server-server-api/#getwell-knownmatrixserver
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../knock/ports/rooms.ts'
import { parseServerName, type ServerName } from '../../matrix/identifiers.ts'
import type { Failure } from '../failure.ts'
import type { HttpAgent } from '../http/agent.ts'
import { stands } from '../pause.ts'
import type { Resolver } from './resolver.ts'
import { fetchWellKnown, type WellKnownAnswer } from './well-known-fetch.ts'

export interface WellKnown {
  /**
   * The delegated server name, or undefined where there is no valid delegation; a failure only where it could not be asked
   * for want of something of ours: where the server is meant to be is not known then.
   * @param hostname as spelled
   */
  delegationOf(hostname: string, deadline: number): Promise<Delegated>
  /** What was said about this name led nowhere: it is asked again a quarter of a minute after it was asked. */
  distrust(hostname: string): void
}

export type Delegated = ServerName | undefined | Failure

export interface WellKnownOptions {
  readonly resolver: Resolver
  readonly agent: HttpAgent
  readonly clock: Clock
  /** Default 443. */
  readonly port?: number
  /** Longest time for one look-up, redirects included, in milliseconds. Default 4000. */
  readonly timeoutMs?: number
}

export const DEFAULT_LIFETIME_MS = 24 * 3_600_000
export const MAX_LIFETIME_MS = 48 * 3_600_000
export const MAX_ERROR_LIFETIME_MS = 3_600_000
const FIRST_ERROR_LIFETIME_MS = 30_000
const DISTRUSTED_AFTER_MS = 15_000
const CACHED_NAMES = 10_000

interface Delegation {
  readonly name: ServerName
  readonly askedAt: number
  /** As long as it is good, by its own word. */
  readonly until: number
  /** When it is asked again: sooner than that where it led nowhere. */
  readonly askAgainAt: number
}

interface Misses {
  readonly failures: number
  readonly askedAt: number
  readonly askAgainAt: number
}

export function createWellKnown({
  resolver,
  agent,
  clock,
  port = 443,
  timeoutMs = 4_000,
}: WellKnownOptions): WellKnown {
  const delegations = new LRUCache<string, Delegation>({ max: CACHED_NAMES })
  const errors = new LRUCache<string, Misses>({ max: CACHED_NAMES })
  const asking = new Map<string, Promise<Delegated>>()

  function standing(hostname: string, now: number): ServerName | undefined {
    const known = delegations.get(hostname)
    return known !== undefined && stands(known.until, now, MAX_LIFETIME_MS) ? known.name : undefined
  }

  function fail(hostname: string, now: number): void {
    const failures = (errors.get(hostname)?.failures ?? 0) + 1
    const pause = Math.min(FIRST_ERROR_LIFETIME_MS * 2 ** Math.min(failures - 1, 20), MAX_ERROR_LIFETIME_MS)
    errors.set(hostname, { failures, askedAt: now, askAgainAt: now + pause })
  }

  async function ask(hostname: string, deadline: number): Promise<Delegated> {
    const fetched = await fetchWellKnown({ resolver, agent, port }, hostname, Math.min(deadline, clock() + timeoutMs))
    if ('kind' in fetched && fetched.lack !== undefined) return standing(hostname, clock()) ?? fetched
    const answer = 'kind' in fetched ? undefined : fetched
    const name = answer === undefined ? undefined : delegationIn(answer)
    const now = clock()
    if (answer === undefined || name === undefined) {
      fail(hostname, now)
      if (saysNothing(answer)) return standing(hostname, now)
      delegations.delete(hostname)
      return undefined
    }
    errors.delete(hostname)
    const until = now + lifetimeOf(answer.headers, now)
    delegations.set(hostname, { name, askedAt: now, until, askAgainAt: until })
    return name
  }

  // Names are cached as they are spelled: a spelling that no server has must not wear out the one that a server has.
  return {
    delegationOf(hostname, deadline) {
      const now = clock()
      const known = delegations.get(hostname)
      if (known !== undefined && stands(known.askAgainAt, now, MAX_LIFETIME_MS)) return Promise.resolve(known.name)
      const failed = errors.get(hostname)
      if (failed !== undefined && stands(failed.askAgainAt, now, MAX_ERROR_LIFETIME_MS)) {
        return Promise.resolve(standing(hostname, now))
      }
      const under = asking.get(hostname)
      if (under !== undefined) return under
      const started = ask(hostname, deadline).finally(() => asking.delete(hostname))
      asking.set(hostname, started)
      return started
    },
    distrust(hostname) {
      const known = delegations.get(hostname)
      if (known !== undefined) delegations.set(hostname, { ...known, askAgainAt: sooner(known) })
      const failed = errors.get(hostname)
      if (failed !== undefined) errors.set(hostname, { ...failed, askAgainAt: sooner(failed) })
    },
  }
}

function sooner({ askedAt, askAgainAt }: { readonly askedAt: number; readonly askAgainAt: number }): number {
  return Math.min(askAgainAt, askedAt + DISTRUSTED_AFTER_MS)
}

/** No answer, or one about the load of the server: what it said before still counts. */
function saysNothing(answer: WellKnownAnswer | undefined): boolean {
  return answer === undefined || answer.status === 429 || answer.status >= 500
}

function delegationIn({ status, body }: WellKnownAnswer): ServerName | undefined {
  if (status !== 200) return undefined
  const name = serverNamed(Buffer.from(body).toString('utf8'))
  return typeof name === 'string' ? parseServerName(name) : undefined
}

/** `m.server` of any JSON object: nothing here is signed, so the strictness of signed JSON is not asked of it. */
function serverNamed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'm.server' in value ? value['m.server'] : undefined
  } catch {
    return undefined
  }
}

/**
 * How long an answer may be kept, in milliseconds: `Cache-Control`, else `Expires`, else 24 hours; never over 48.
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1
 */
export function lifetimeOf(headers: Readonly<Record<string, string>>, now: number): number {
  const directives = (headers['cache-control'] ?? '').toLowerCase().split(',')
  const names = directives.map((directive) => directive.trim())
  if (names.includes('no-store') || names.includes('no-cache')) return 0
  for (const directive of names) {
    const seconds = /^max-age="?(\d+)"?$/.exec(directive)?.[1]
    if (seconds !== undefined) return Math.min(Number(seconds) * 1000, MAX_LIFETIME_MS)
  }
  if (headers.expires === undefined) return DEFAULT_LIFETIME_MS
  const expires = Date.parse(headers.expires)
  const date = Date.parse(headers.date ?? '')
  // An Expires that is no date, `0` above all, means "already".
  if (Number.isNaN(expires)) return 0
  return Math.min(Math.max(expires - (Number.isNaN(date) ? now : date), 0), MAX_LIFETIME_MS)
}
