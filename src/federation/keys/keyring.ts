/**
 * The keyring: public keys of other servers from memory, the store, the servers themselves or notaries, and our own.
 * https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { within } from '../../concurrency/within.ts'
import type {
  KeyLookup as KeyLookupAnswer,
  Keyring,
  KeyStore,
  StoredServerKeys,
  VerifyKey,
} from '../../knock/ports/rooms.ts'
import type { SigningKey } from '../../matrix/ed25519.ts'
import type { KeyId, ServerName } from '../../matrix/identifiers.ts'
import { stands } from '../pause.ts'
import {
  type Acquaintance,
  createKeyLookup,
  type KeyLookupOptions,
  type LookupOutcome,
  type SharedLookup,
} from './lookup.ts'
import { freshUntil, isDue, isTooFarAhead, type KeyPurpose, usable, wantsRefresh, worthStoring } from './records.ts'

export interface KeyringOptions extends KeyLookupOptions {
  readonly serverName: ServerName
  readonly store: KeyStore
  /** Answers for our own name, without the network. Undefined where the homeserver keeps it to itself. */
  readonly signingKey: Pick<SigningKey, 'keyId' | 'publicKey'> | undefined
  /** Our earlier keys, of which several may have had one id: good for events, never for requests. */
  readonly oldVerifyKeys?: ReadonlyMap<KeyId, readonly Uint8Array[]>
  /** Told about each look-up that left memory, for metrics. */
  readonly onLookup?: (outcome: 'store' | 'server' | 'notary' | 'failed' | 'crowded' | 'missing') => void
  /** Told, once for a question, that keys could not be asked for, and what for want of. For the operator's log. */
  readonly onLack?: (server: ServerName, reason: string) => void
  /** Servers that are kept in memory. Default 10,000; the store keeps those that have proved themselves. */
  readonly maxKnown?: number
  /**
   * After a server answered without what was asked for it is asked again after 2, 4, 8 … seconds, at most so many
   * milliseconds: anybody can invent key ids. Default 30,000.
   */
  readonly coolDownMs?: number
  /** After failures a server is asked again after 1, 2, 4 … seconds, at most so many milliseconds. Default 20,000. */
  readonly maxBackoffMs?: number
}

const FIRST_BACKOFF_MS = 1_000
const FIRST_COOL_DOWN_MS = 2_000
const MAX_FAILED = 10_000
/** What most servers have at most, retired ones included. */
const KEYS_PER_SERVER = 10
/** Look-ups that one question can wait for: it may have joined one that was for another key. */
const MAX_ROUNDS = 3
/** What was missing may be there again in a moment. */
const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 2_000

/** When a server may be asked again, and why not before. */
interface Pause {
  readonly until: number
  readonly failures: number
  /** Why the last look-up failed; undefined where it did not. */
  readonly reason: string | undefined
}

interface Known extends Acquaintance {
  readonly pause: Pause
}

/** A look-up of a server that is under way. */
interface UnderWay {
  readonly shared: SharedLookup
  /** After its outcome is known here. */
  readonly settled: Promise<LookupOutcome>
}

/** Why not all keys could be had, and whether that is for want of something of ours. */
type Shortfall = Exclude<KeyLookupAnswer, { kind: 'keys' }>

const NO_PAUSE: Pause = { until: Number.NEGATIVE_INFINITY, failures: 0, reason: undefined }

export function createKeyring(options: KeyringOptions): Keyring {
  const { serverName, signingKey, store, clock, onLookup = () => {}, onLack = () => {} } = options
  const { maxKnown = 10_000, coolDownMs = 30_000, maxBackoffMs = 20_000 } = options
  const longestPauseMs = Math.max(coolDownMs, maxBackoffMs)
  const { recall, share } = createKeyLookup(options)
  const known = new LRUCache<ServerName, Known>({
    max: maxKnown,
    // A server may list hundreds of keys: those that do must not fill the memory.
    maxSize: KEYS_PER_SERVER * maxKnown,
    sizeCalculation: ({ record }) => record.keys.length + 1,
  })
  // Names that nobody vouches for have a cache of their own: inventing more of them pushes out no real server.
  const failed = new LRUCache<ServerName, Pause>({ max: MAX_FAILED })
  const underWay = new Map<ServerName, UnderWay>()
  const recalling = new Map<ServerName, Promise<void>>()

  function pauseAfter(before: Pause | undefined, reason: string): Pause {
    const failures = (before?.failures ?? 0) + 1
    return { until: clock() + doubled(FIRST_BACKOFF_MS, failures, maxBackoffMs), failures, reason }
  }

  /** A server that gave what was asked for can be asked for something else at once: it may have changed its keys. */
  function pauseAfterAnswer(before: Pause | undefined, record: StoredServerKeys, purpose: KeyPurpose): Pause {
    if (!wantsRefresh(record, purpose)) return NO_PAUSE
    const failures = before?.reason === undefined ? (before?.failures ?? 0) + 1 : 1
    return { until: clock() + doubled(FIRST_COOL_DOWN_MS, failures, coolDownMs), failures, reason: undefined }
  }

  const isPaused = ({ until }: Pause): boolean => stands(until, clock(), longestPauseMs)

  /** Nobody waits for the disk: what is not written is asked again after a restart. */
  function keep(record: StoredServerKeys): void {
    void store.writeServerKeys(worthStoring(record)).catch(() => {})
  }

  function settle(server: ServerName, outcome: LookupOutcome, purpose: KeyPurpose): void {
    onLookup(outcome.kind === 'had' ? outcome.from : outcome.kind === 'failed' ? 'failed' : outcome.lack)
    // What is wrong here is not held against the server.
    if (outcome.kind === 'lacking') return
    if (outcome.kind === 'had') {
      failed.delete(server)
      const before = known.get(server)
      const proved = outcome.known.proved || before?.proved === true
      const pause = pauseAfterAnswer(before?.pause, outcome.known.record, purpose)
      known.set(server, { ...outcome.known, proved, pause })
      if (proved) keep(outcome.known.record)
      return
    }
    const { reason } = outcome
    if (outcome.known === undefined) failed.set(server, pauseAfter(failed.get(server), reason))
    else {
      const before = known.get(server)
      const proved = outcome.known.proved || before?.proved === true
      known.set(server, { ...outcome.known, proved, pause: pauseAfter(before?.pause, reason) })
    }
  }

  /** Puts what the store has of a server into memory. */
  async function remember(server: ServerName): Promise<void> {
    const found = await recall(server)
    if (found === undefined || known.has(server)) return
    known.set(server, { ...found, pause: NO_PAUSE })
    onLookup('store')
  }

  /** Begins a look-up, or joins the one that is under way. */
  function lookUp(server: ServerName, purpose: KeyPurpose, cause: string): UnderWay {
    let under = underWay.get(server)
    if (under === undefined) {
      const shared = share(server, purpose, known.get(server))
      const settled = shared.outcome
        .then((outcome) => {
          settle(server, outcome, purpose)
          return outcome
        })
        .finally(() => underWay.delete(server))
      under = { shared, settled }
      underWay.set(server, under)
    }
    under.shared.join(cause)
    return under
  }

  /** Looks up until there is nothing more to learn, or the deadline has come. @returns why not all could be had */
  async function refresh(
    server: ServerName,
    purpose: KeyPurpose,
    deadline: number,
    cause: string,
  ): Promise<Shortfall | undefined> {
    let missing: Shortfall | undefined
    let retryMs = FIRST_RETRY_MS
    for (let rounds = 0; rounds < MAX_ROUNDS; ) {
      const at = known.get(server)
      if (at !== undefined && !wantsRefresh(at.record, purpose)) return undefined
      const pause = at === undefined ? failed.get(server) : at.pause
      if (pause !== undefined && isPaused(pause) && !underWay.has(server)) {
        return pause.reason === undefined ? undefined : unavailable(pause.reason)
      }
      const remaining = deadline - clock()
      if (remaining <= 0) return missing ?? unavailable('the keys could not be had in time')
      const { shared, settled } = lookUp(server, purpose, cause)
      const outcome = await within(remaining, settled)
      if (outcome === undefined && !shared.begun) missing = lacking('too many look-ups at once')
      if (outcome?.kind !== 'lacking') {
        rounds++
        continue
      }
      missing = lacking(outcome.reason)
      if (outcome.lack === 'crowded') return missing
      await sleep(Math.max(Math.min(retryMs, deadline - clock()), 0))
      retryMs = Math.min(2 * retryMs, MAX_RETRY_MS)
    }
    return unavailable('the keys could not be had')
  }

  /** Begins to fetch keys anew while they are good, so that nobody has to wait for them. */
  function renew(server: ServerName, purpose: KeyPurpose, cause: string): void {
    const at = known.get(server)
    if (at === undefined || !at.proved || isPaused(at.pause)) return
    const until = freshUntil(at.record)
    if (until < clock() || !isDue(at.record, clock())) return
    const longer = { ...purpose, at: until + 1 }
    // What is thrown here is thrown again for those who wait for keys.
    lookUp(server, longer, cause).settled.catch(() => {})
  }

  async function others(
    server: ServerName,
    purpose: KeyPurpose,
    deadline: number,
    cause: string,
  ): Promise<KeyLookupAnswer> {
    if (!known.has(server) && !underWay.has(server) && !isPaused(failed.get(server) ?? NO_PAUSE)) {
      await within(
        deadline - clock(),
        join(recalling, server, () => remember(server)),
      )
    }
    const shortfall = await refresh(server, purpose, deadline, cause)
    renew(server, purpose, cause)
    const keys = usable(known.get(server)?.record, purpose)
    if (keys.length > 0 || shortfall === undefined) return { kind: 'keys', keys }
    if (shortfall.kind === 'lacking') onLack(server, shortfall.reason)
    return shortfall
  }

  const always = Number.MAX_SAFE_INTEGER
  const ownKeys: readonly VerifyKey[] = [
    ...[...(options.oldVerifyKeys ?? [])].flatMap(([keyId, keys]) =>
      keys.map((key) => ({ keyId, key, validUntil: always, old: true })),
    ),
    ...(signingKey === undefined
      ? []
      : [{ keyId: signingKey.keyId, key: signingKey.publicKey, validUntil: always, old: false }]),
  ]

  return {
    async keysFor(server, keyIds, at, use, deadline, cause) {
      if (server === serverName) {
        if (signingKey === undefined && use === 'request') {
          return { kind: 'unavailable', reason: 'our own key is not known here (signing_key_path)' }
        }
        const wanted = ({ keyId, old }: VerifyKey) => keyIds.includes(keyId) && (use === 'event' || !old)
        return { kind: 'keys', keys: ownKeys.filter(wanted) }
      }
      if (server.toLowerCase() === serverName.toLowerCase()) {
        return { kind: 'unavailable', reason: 'the name is ours in another spelling' }
      }
      if (keyIds.length === 0 || isTooFarAhead(at, clock())) return { kind: 'keys', keys: [] }
      return others(server, { keyIds, at, use }, deadline, cause)
    },
    proved(server) {
      const at = known.get(server)
      if (at === undefined || at.proved) return
      known.set(server, { ...at, proved: true })
      keep(at.record)
    },
  }
}

function unavailable(reason: string): Shortfall {
  return { kind: 'unavailable', reason }
}

function lacking(reason: string): Shortfall {
  return { kind: 'lacking', reason }
}

function doubled(first: number, times: number, most: number): number {
  return Math.min(first * 2 ** Math.min(times - 1, 20), most)
}

/** Begins something for a server, or joins those for whom it is under way. */
function join(underWay: Map<ServerName, Promise<void>>, server: ServerName, begin: () => Promise<void>): Promise<void> {
  const under = underWay.get(server)
  if (under !== undefined) return under
  const begun = begin().finally(() => underWay.delete(server))
  underWay.set(server, begun)
  return begun
}
