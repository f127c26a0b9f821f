/**
 * What is known of a server's keys, as plain records: built from published keys, merged, and asked which are usable.
 * https://spec.matrix.org/latest/rooms/v5/#signing-key-validity-period
 */
import type { StoredServerKeys, VerifyKey } from '../../knock/ports/rooms.ts'
import { isSmallOrder } from '../../matrix/ed25519.ts'
import type { KeyId } from '../../matrix/identifiers.ts'
import {
  cappedValidity,
  isUsableKey,
  MAX_KEY_LIFETIME_MS,
  MAX_OLD_VERIFY_KEYS,
  MAX_VERIFY_KEYS,
  type ServerKeys,
} from '../../matrix/server-keys.ts'

/** Far more than servers have in use: the hundreds that a key object can hold have no place in the store. */
const MAX_STORED_KEYS = 16

/** What keys are wanted for. */
export interface KeyPurpose {
  readonly keyIds: readonly KeyId[]
  /** The instant at which they must be valid. */
  readonly at: number
  readonly use: 'request' | 'event'
}

/** A record of published keys: current ones count for seven days from `fetchedAt` at most. */
export function recordOf({ server, keys }: ServerKeys, fetchedAt: number): StoredServerKeys {
  const capped = keys.map((key) => (key.old ? key : { ...key, validUntil: cappedValidity(key.validUntil, fetchedAt) }))
  return { server, fetchedAt, keys: capped }
}

/**
 * Two records of one server as one: where both name a key, the one that is current for longer is believed. No more keys
 * than one key object can hold are kept, first those of the record that is current for longer.
 */
export function merge(one: StoredServerKeys | undefined, other: StoredServerKeys): StoredServerKeys {
  if (one === undefined) return other
  const [older, newer] = freshUntil(one) <= freshUntil(other) ? [one, other] : [other, one]
  const keys = new Map<KeyId, VerifyKey>()
  for (const key of [...newer.keys, ...older.keys]) if (!keys.has(key.keyId)) keys.set(key.keyId, key)
  const current = [...keys.values()].filter(({ old }) => !old)
  const retired = [...keys.values()].filter(({ old }) => old)
  return {
    server: newer.server,
    fetchedAt: Math.max(one.fetchedAt, other.fetchedAt),
    keys: [...current.slice(0, MAX_VERIFY_KEYS), ...retired.slice(0, MAX_OLD_VERIFY_KEYS)],
  }
}

/** What of a record is worth its place in the store: current keys, then those that were retired last. */
export function worthStoring(record: StoredServerKeys): StoredServerKeys {
  const keys = [...record.keys].sort(
    (one, other) => Number(one.old) - Number(other.old) || other.validUntil - one.validUntil,
  )
  return { ...record, keys: keys.slice(0, MAX_STORED_KEYS) }
}

/** A stored record without the keys that are not admitted any more. */
export function admissible(record: StoredServerKeys, denied: (key: Uint8Array) => boolean): StoredServerKeys {
  return { ...record, keys: record.keys.filter(({ key }) => !isSmallOrder(key) && !denied(key)) }
}

/** The wanted keys that are usable. */
export function usable(record: StoredServerKeys | undefined, { keyIds, at, use }: KeyPurpose): readonly VerifyKey[] {
  return record?.keys.filter((key) => keyIds.includes(key.keyId) && isUsableKey(key, at, use)) ?? []
}

/**
 * Whether asking the server again could give a wanted key that is not usable now: because it is unknown, or because what
 * we have of it is too old for the instant. In a copy that is fresh enough, a retired key is retired.
 */
export function wantsRefresh(record: StoredServerKeys, purpose: KeyPurpose): boolean {
  const stale = freshUntil(record) < purpose.at
  return purpose.keyIds.some((keyId) => {
    const known = record.keys.find((key) => key.keyId === keyId)
    if (known === undefined) return true
    return !isUsableKey(known, purpose.at, purpose.use) && (stale || !known.old)
  })
}

/** Whether it is time to ask again: the record is past half of its time, or was fetched under a clock that was ahead. */
export function isDue(record: StoredServerKeys, now: number): boolean {
  return now < record.fetchedAt || now > (record.fetchedAt + freshUntil(record)) / 2
}

/** No key published now can be valid at an instant that far ahead. */
export function isTooFarAhead(at: number, now: number): boolean {
  return at > now + MAX_KEY_LIFETIME_MS
}

/** Up to when the record says what is current. */
export function freshUntil({ keys }: StoredServerKeys): number {
  return keys.reduce((latest, { validUntil, old }) => (old ? latest : Math.max(latest, validUntil)), 0)
}
