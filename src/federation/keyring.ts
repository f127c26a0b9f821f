/**
 * The keyring: public keys of other servers from memory, the store, the servers themselves or notaries, and our own.
 * https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
 */
import { LRUCache } from 'lru-cache'
import type { KeyLookup as KeyLookupAnswer, Keyring, KeyStore, StoredServerKeys, VerifyKey } from '../knock/ports.ts'
import type { SigningKey } from '../matrix/ed25519.ts'
import type { KeyId, ServerName } from '../matrix/identifiers.ts'
import { within } from '../waiting/within.ts'
import { type Acquaintance, createKeyLookup, type KeyLookupOptions, type LookupOutcome } from './key-lookup.ts'
import { freshUntil, isDue, isTooFarAhead, type KeyPurpose, usable, wantsRefresh, worthStoring } from './key-records.ts'
import { stands } from './pause.ts'

export interface KeyringOptions extends KeyLookupOptions {
  readonly serverName: ServerName
  readonly store: KeyStore
  /** Answers for our own name, without the network. Undefined where the homeserver keeps it to itself. */
  readonly signingKey: Pick<SigningKey, 'keyId' | 'publicKey'> | undefined
  /** Our earlier keys, of which several may have had one id: good for events, never for requests. */
  readonly oldVerifyKeys?: ReadonlyMap<KeyId, readonly Uint8Array[]>
  /** Told about each look-up that left memory, for metrics. */
  readonly onLookup?: (outcome: 'store' | 'server' | 'notary' | 'failed' | 'crowded') => void
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

const NO_PAUSE: Pause = { until: Number.NEGATIVE_INFINITY, failures: 0, reason: undefined }

export function createKeyring(options: KeyringOptions): Keyring {
  const { serverName, signingKey, store, clock, onLookup = () => {} } = options
  const { maxKnown = 10_000, coolDownMs = 30_000, maxBackoffMs = 20_000 } = options
  const longestPauseMs = Math.max(coolDownMs, maxBackoffMs)
  const { recall, fetch } = createKeyLookup(options)
  const known = new LRUCache<ServerName, Known>({
    max: maxKnown,
    // A server may list hundreds of keys: those that do must not fill the memory.
    maxSize: KEYS_PER_SERVER * maxKnown,
    sizeCalculation: ({ record }) => record.keys.length + 1,
  })
  // Names that nobody vouches for have a cache of their own: inventing more of them pushes out no real server.
  const failed = new LRUCache<ServerName, Pause>({ max: MAX_FAILED })
  const underWay = new Map<ServerName, Promise<void>>()
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
    onLookup(outcome.kind === 'had' ? outcome.from : outcome.kind)
    if (outcome.kind === 'had') {
      failed.delete(server)
      const before = known.get(server)
      const proved = outcome.known.proved || before?.proved === true
      const pause = pauseAfterAnswer(before?.pause, outcome.known.record, purpose)
      known.set(server, { ...outcome.known, proved, pause })
      if (proved) keep(outcome.known.record)
      return
    }
    const reason = outcome.kind === 'failed' ? outcome.reason : 'too many look-ups at once'
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

  async function lookUp(server: ServerName, purpose: KeyPurpose): Promise<void> {
    settle(server, await fetch(server, purpose, known.get(server)), purpose)
  }

  /** Looks up until there is nothing more to learn, or the deadline has come. @returns why not all could be had */
  async function refresh(server: ServerName, purpose: KeyPurpose, deadline: number): Promise<string | undefined> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const at = known.get(server)
      if (at !== undefined && !wantsRefresh(at.record, purpose)) return undefined
      const pause = at === undefined ? failed.get(server) : at.pause
      if (pause !== undefined && isPaused(pause) && !underWay.has(server)) return pause.reason
      const remaining = deadline - clock()
      if (remaining <= 0) return 'the keys could not be had in time'
      await within(
        remaining,
        join(underWay, server, () => lookUp(server, purpose)),
      )
    }
    return 'the keys could not be had'
  }

  /** Begins to fetch keys anew while they are good, so that nobody has to wait for them. */
  function renew(server: ServerName, purpose: KeyPurpose): void {
    const at = known.get(server)
    if (at === undefined || !at.proved || isPaused(at.pause)) return
    const until = freshUntil(at.record)
    if (until < clock() || !isDue(at.record, clock())) return
    const longer = { ...purpose, at: until + 1 }
    // What is thrown here is thrown again for those who wait for keys.
    join(underWay, server, () => lookUp(server, longer)).catch(() => {})
  }

  async function others(server: ServerName, purpose: KeyPurpose, deadline: number): Promise<KeyLookupAnswer> {
    if (!known.has(server) && !underWay.has(server) && !isPaused(failed.get(server) ?? NO_PAUSE)) {
      await within(
        deadline - clock(),
        join(recalling, server, () => remember(server)),
      )
    }
    const reason = await refresh(server, purpose, deadline)
    renew(server, purpose)
    const keys = usable(known.get(server)?.record, purpose)
    return keys.length > 0 || reason === undefined ? { kind: 'keys', keys } : { kind: 'unavailable', reason }
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
    async keysFor(server, keyIds, at, use, deadline) {
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
      return others(server, { keyIds, at, use }, deadline)
    },
    proved(server) {
      const at = known.get(server)
      if (at === undefined || at.proved) return
      known.set(server, { ...at, proved: true })
      keep(at.record)
    },
  }
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
