/**
 * The keyring: public keys of other servers from memory, the store, the servers themselves or notaries, and our own.
 * https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
 */
import { LRUCache } from 'lru-cache'
import type { KeyLookup as KeyLookupAnswer, Keyring, KeyStore, StoredServerKeys, VerifyKey } from '../knock/ports.ts'
import type { SigningKey } from '../matrix/ed25519.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import { within } from '../waiting/within.ts'
import { type Acquaintance, createKeyLookup, type KeyLookupOptions, type LookupOutcome } from './key-lookup.ts'
import { isTooFarAhead, type KeyPurpose, usable, wantsRefresh, worthStoring } from './key-records.ts'
import { stands } from './pause.ts'

export interface KeyringOptions extends KeyLookupOptions {
  readonly serverName: ServerName
  readonly store: KeyStore
  /** Answers for our own name, without the network. */
  readonly signingKey: Pick<SigningKey, 'keyId' | 'publicKey'>
  /** Told about each look-up that left memory, for metrics. */
  readonly onLookup?: (outcome: 'store' | 'server' | 'notary' | 'failed' | 'crowded') => void
  /** Servers that are kept in memory. Default 10,000; the store keeps those that have proved themselves. */
  readonly maxKnown?: number
  /** After a server answered it is not asked again for so long, in milliseconds. Default 30,000. */
  readonly coolDownMs?: number
  /** After failures a server is asked again after 1, 2, 4 … seconds, at most so many milliseconds. Default 20,000. */
  readonly maxBackoffMs?: number
}

const FIRST_BACKOFF_MS = 1_000
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
  const lookUp = createKeyLookup(options)
  const known = new LRUCache<ServerName, Known>({
    max: maxKnown,
    // A server may list hundreds of keys: those that do must not fill the memory.
    maxSize: KEYS_PER_SERVER * maxKnown,
    sizeCalculation: ({ record }) => record.keys.length + 1,
  })
  // Names that nobody vouches for have a cache of their own: inventing more of them pushes out no real server.
  const failed = new LRUCache<ServerName, Pause>({ max: MAX_FAILED })
  const underWay = new Map<ServerName, Promise<void>>()

  function pauseAfter(before: Pause | undefined, reason: string): Pause {
    const failures = (before?.failures ?? 0) + 1
    const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures - 1, 20), maxBackoffMs)
    return { until: clock() + backoff, failures, reason }
  }

  /** Nobody waits for the disk: what is not written is asked again after a restart. */
  function keep(record: StoredServerKeys): void {
    void store.writeServerKeys(worthStoring(record)).catch(() => {})
  }

  function settle(server: ServerName, outcome: LookupOutcome): void {
    onLookup(outcome.kind === 'had' ? outcome.from : outcome.kind)
    if (outcome.kind === 'had') {
      failed.delete(server)
      const until = outcome.from === 'store' ? NO_PAUSE.until : clock() + coolDownMs
      const proved = outcome.known.proved || known.get(server)?.proved === true
      known.set(server, { record: outcome.known.record, proved, pause: { ...NO_PAUSE, until } })
      if (proved && outcome.from !== 'store') keep(outcome.known.record)
      return
    }
    if (outcome.known !== undefined) {
      const before = known.get(server) ?? { ...outcome.known, pause: NO_PAUSE }
      const pause = outcome.kind === 'crowded' ? before.pause : pauseAfter(before.pause, outcome.reason)
      known.set(server, { ...before, pause })
    } else if (outcome.kind === 'failed') failed.set(server, pauseAfter(failed.get(server), outcome.reason))
  }

  function join(server: ServerName, purpose: KeyPurpose): Promise<void> {
    const under = underWay.get(server)
    if (under !== undefined) return under
    const started = lookUp(server, purpose, known.get(server))
      .then((outcome) => settle(server, outcome))
      .finally(() => underWay.delete(server))
    underWay.set(server, started)
    return started
  }

  /** Looks up until there is nothing more to learn, or the deadline has come. @returns why not all could be had */
  async function refresh(server: ServerName, purpose: KeyPurpose, deadline: number): Promise<string | undefined> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const at = known.get(server)
      if (at !== undefined && !wantsRefresh(at.record, purpose)) return undefined
      const pause = at === undefined ? failed.get(server) : at.pause
      const paused = pause !== undefined && stands(pause.until, clock(), longestPauseMs)
      if (paused && !underWay.has(server)) return pause.reason
      const remaining = deadline - clock()
      if (remaining <= 0) return 'the keys could not be had in time'
      await within(remaining, join(server, purpose))
    }
    return 'the keys could not be had'
  }

  async function others(server: ServerName, purpose: KeyPurpose, deadline: number): Promise<KeyLookupAnswer> {
    const reason = await refresh(server, purpose, deadline)
    const keys = usable(known.get(server)?.record, purpose)
    return keys.length > 0 || reason === undefined ? { kind: 'keys', keys } : { kind: 'unavailable', reason }
  }

  const ownKey: VerifyKey = {
    keyId: signingKey.keyId,
    key: signingKey.publicKey,
    validUntil: Number.MAX_SAFE_INTEGER,
    old: false,
  }

  return {
    async keysFor(server, keyIds, at, use, deadline) {
      if (server === serverName) return { kind: 'keys', keys: keyIds.includes(ownKey.keyId) ? [ownKey] : [] }
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
