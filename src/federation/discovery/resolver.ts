/**
 * Names to addresses and services by DNS queries of our own: a name that hangs holds up nobody but itself.
 * https://www.rfc-editor.org/rfc/rfc2782 for SRV records
 */
import { promises as dns, type SrvRecord } from 'node:dns'
import { LRUCache } from 'lru-cache'
import { within } from '../../concurrency/within.ts'
import type { Clock } from '../../knock/ports/rooms.ts'
import { type Failure, failure, isMissing } from '../failure.ts'
import { stands } from '../pause.ts'
import type { HostsFile } from './hosts-file.ts'

export interface ServiceRecord {
  readonly target: string
  readonly port: number
  readonly priority: number
  readonly weight: number
}

export type Resolution<T> =
  | { readonly kind: 'found'; readonly records: readonly T[] }
  /** The name or the record does not exist. */
  | { readonly kind: 'absent' }
  /** No answer in time, or a server failure: it may well exist. */
  | Failure

export interface Resolver {
  /** IPv4 addresses, then IPv6 ones, or those of one family where the other takes long; the hosts file wins over DNS. */
  addresses(name: string): Promise<Resolution<string>>
  /** SRV records of a whole name such as `_matrix-fed._tcp.example.org`. */
  services(name: string): Promise<Resolution<ServiceRecord>>
  /** Ends the questions that are under way. */
  close(): void
}

export interface ResolverOptions {
  readonly hosts: HostsFile
  readonly clock: Clock
  /** Name servers as `IP` or `IP:PORT`; the machine's own where left out. */
  readonly servers?: readonly string[]
  /** Longest time for one question, all tries included, in milliseconds. Default 4000. */
  readonly timeoutMs?: number
}

const TRIES = 2
const CACHED_NAMES = 4_000
/** Answers are kept as long as they say, within these bounds. */
const MAX_TTL_MS = 3_600_000
const MIN_TTL_MS = 1_000
/** A server that is back must be found again soon. */
const FAILURE_TTL_MS = 5_000
/** Where one family has addresses, the other is waited for no longer than this. */
const OTHER_FAMILY_MS = 300
/** An answer with thousands of records is no reason to try them all. */
const MAX_RECORDS = 16

/** Node's codes for "there is no such thing", as against "no answer". */
const ABSENT = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME'])
/** No name server of ours is there, or there is no descriptor for a socket to ask it: c-ares says the same of both. */
const NOT_ASKED = 'ECONNREFUSED'

interface Answer<T> {
  readonly resolution: Resolution<T>
  readonly ttlMs: number
}

export function createResolver({ hosts, clock, servers, timeoutMs = 4_000 }: ResolverOptions): Resolver {
  const resolver = new dns.Resolver({ timeout: Math.ceil(timeoutMs / (TRIES + 1)), tries: TRIES })
  if (servers !== undefined) resolver.setServers([...servers])

  async function askAddresses(name: string): Promise<Answer<string>> {
    const families = [
      question(() => resolver.resolve4(name, { ttl: true }), timeoutMs),
      question(() => resolver.resolve6(name, { ttl: true }), timeoutMs),
    ]
    const first = await Promise.race(families)
    const patience = first.kind === 'found' ? OTHER_FAMILY_MS : timeoutMs
    const answers = await Promise.all(families.map((family) => within(patience, family)))
    const records = answers.flatMap((answer) => (answer?.kind === 'found' ? answer.records : []))
    if (records.length > 0) {
      const addresses = records.slice(0, MAX_RECORDS).map(({ address }) => address)
      const ttl = Math.min(...records.map((record) => record.ttl)) * 1000
      const whole = answers.every((answer) => answer !== undefined && answer.kind !== 'failed')
      return { resolution: { kind: 'found', records: addresses }, ttlMs: whole ? clamp(ttl) : FAILURE_TTL_MS }
    }
    const failed = answers.filter((answer) => answer?.kind === 'failed')
    const telling = failed.find(({ lack }) => lack !== undefined) ?? failed[0]
    return { resolution: telling ?? { kind: 'absent' }, ttlMs: FAILURE_TTL_MS }
  }

  async function askServices(name: string): Promise<Answer<ServiceRecord>> {
    const answer = await question(() => resolver.resolveSrv(name), timeoutMs)
    if (answer.kind !== 'found') return { resolution: answer, ttlMs: FAILURE_TTL_MS }
    const records = answer.records.slice(0, MAX_RECORDS).map(toServiceRecord)
    return { resolution: { kind: 'found', records }, ttlMs: SRV_TTL_MS }
  }

  const addresses = cached(askAddresses, clock)
  const services = cached(askServices, clock)
  return {
    async addresses(name) {
      const pinned = await hosts.addresses(name)
      return pinned.length > 0 ? { kind: 'found', records: pinned.slice(0, MAX_RECORDS) } : addresses(name)
    },
    services,
    close: () => resolver.cancel(),
  }
}

/** Node does not tell the TTL of SRV records. */
const SRV_TTL_MS = 300_000

function toServiceRecord({ name, port, priority, weight }: SrvRecord): ServiceRecord {
  return { target: name, port, priority, weight }
}

async function question<T>(ask: () => Promise<readonly T[]>, timeoutMs: number): Promise<Resolution<T>> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Resolution<T>>((resolve) => {
    timer = setTimeout(() => resolve({ kind: 'failed', reason: 'DNS does not answer' }), timeoutMs)
  })
  const answer = Promise.resolve()
    .then(ask)
    .then(
      (records): Resolution<T> => (records.length > 0 ? { kind: 'found', records } : { kind: 'absent' }),
      ({ code = '' }: NodeJS.ErrnoException): Resolution<T> => {
        if (ABSENT.has(code)) return { kind: 'absent' }
        return failure(`DNS: ${code}`, code === NOT_ASKED || isMissing(code) ? 'missing' : undefined)
      },
    )
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

function clamp(ttlMs: number): number {
  return Math.min(Math.max(ttlMs, MIN_TTL_MS), MAX_TTL_MS)
}

/** One question per name at a time, and answers kept for their time. Failures have a cache of their own. */
function cached<T>(ask: (name: string) => Promise<Answer<T>>, clock: Clock): (name: string) => Promise<Resolution<T>> {
  interface Kept {
    readonly resolution: Resolution<T>
    readonly until: number
  }
  const found = new LRUCache<string, Kept>({ max: CACHED_NAMES })
  const missed = new LRUCache<string, Kept>({ max: CACHED_NAMES })
  const asking = new Map<string, Promise<Resolution<T>>>()

  async function look(name: string): Promise<Resolution<T>> {
    const { resolution, ttlMs } = await ask(name)
    const kept = { resolution, until: clock() + ttlMs }
    if (resolution.kind === 'found') found.set(name, kept)
    else if (resolution.kind === 'absent' || resolution.lack === undefined) {
      found.delete(name)
      missed.set(name, kept)
    }
    return resolution
  }

  return (text) => {
    const name = text.toLowerCase()
    const kept = found.get(name) ?? missed.get(name)
    if (kept !== undefined && stands(kept.until, clock(), MAX_TTL_MS)) return Promise.resolve(kept.resolution)
    const under = asking.get(name)
    if (under !== undefined) return under
    const started = look(name).finally(() => asking.delete(name))
    asking.set(name, started)
    return started
  }
}
