/**
 * Published signing keys of a server: the check of a key object, and when its keys are good for what.
 * https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
 */
import { decodeBase64 } from './base64.ts'
import { type Ed25519, isSmallOrder } from './ed25519.ts'
import { type KeyId, parseKeyId, type ServerName } from './identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import { allVerify, signaturesBy, signedBytes } from './signed-json.ts'

/** No key counts as current for longer than this after it was fetched, whatever the server promises. */
export const MAX_KEY_LIFETIME_MS = 7 * 86_400_000

/** Each listed key can ask for one verification: far more than any server has. */
export const MAX_VERIFY_KEYS = 32
export const MAX_OLD_VERIFY_KEYS = 256
const KEY_BYTES = 32

/** A key as published. For a current key `validUntil` is the object's `valid_until_ts`, for an old one its `expired_ts`. */
export interface PublishedKey {
  readonly keyId: KeyId
  readonly key: Uint8Array
  /** Milliseconds since the epoch; the last instant at which it is valid. */
  readonly validUntil: number
  /** It was listed in `old_verify_keys`. */
  readonly old: boolean
}

/** A key object that has passed all checks. */
export interface ServerKeys {
  readonly server: ServerName
  /** `valid_until_ts`, not yet capped. */
  readonly validUntil: number
  readonly keys: readonly PublishedKey[]
}

export type ServerKeysResult =
  | { readonly ok: true; readonly keys: ServerKeys }
  | { readonly ok: false; readonly reason: string }

/**
 * Whether an object is what a server says about its own keys.
 * Keys of other algorithms are passed over; keys that must not be used (small order, denied) are left out and do
 * not count as signers. Which of its keys sign is not specified: at least one must, and no signature may be wrong.
 * @param server who was asked about; compared case-sensitively with `server_name`
 * @param denied keys that the operator refuses
 * @returns the keys, or why the object is unusable
 * @see https://spec.matrix.org/latest/server-server-api/#publishing-keys
 */
export async function checkKeyObject(
  object: JsonValue,
  server: ServerName,
  ed25519: Ed25519,
  denied: (key: Uint8Array) => boolean,
): Promise<ServerKeysResult> {
  if (!isJsonObject(object)) return unusable('the key object is not an object')
  if (object.server_name !== server) return unusable('server_name is not the server that was asked about')
  const validUntil = object.valid_until_ts
  if (!isInstant(validUntil)) return unusable('valid_until_ts is missing or no time')
  const current = readKeys(object.verify_keys, MAX_VERIFY_KEYS, () => validUntil)
  if (typeof current === 'string') return unusable(`verify_keys: ${current}`)
  const retired = readKeys(object.old_verify_keys ?? {}, MAX_OLD_VERIFY_KEYS, (entry) => entry.expired_ts)
  if (typeof retired === 'string') return unusable(`old_verify_keys: ${retired}`)
  const isAllowed = ({ key }: ReadKey) => !isSmallOrder(key) && !denied(key)
  const signers = current.filter(isAllowed)
  if (!(await signedByItself(object, server, signers, ed25519))) {
    return unusable('it is not signed by a verify key of its own, or a signature is wrong')
  }
  const listed = new Set(signers.map(({ keyId }) => keyId))
  const keys = [
    ...signers.map((key) => ({ ...key, old: false })),
    ...retired.filter((key) => isAllowed(key) && !listed.has(key.keyId)).map((key) => ({ ...key, old: true })),
  ]
  return { ok: true, keys: { server, validUntil, keys } }
}

/**
 * Whether a key may be used at an instant.
 * @param use `request`: current keys only; `event`: old keys count up to their `expired_ts`
 * @param at now for a request, `origin_server_ts` for an event of room version 5 and later
 * @see https://spec.matrix.org/latest/rooms/v5/#signing-key-validity-period
 */
export function isUsableKey(
  key: Pick<PublishedKey, 'validUntil' | 'old'>,
  at: number,
  use: 'request' | 'event',
): boolean {
  if (key.old && use === 'request') return false
  return at <= key.validUntil
}

/** When a current key ends to be valid: `valid_until_ts`, but never more than seven days after it was fetched. */
export function cappedValidity(validUntil: number, fetchedAt: number): number {
  return Math.min(validUntil, fetchedAt + MAX_KEY_LIFETIME_MS)
}

type ReadKey = Omit<PublishedKey, 'old'>

/** The Ed25519 keys of a map, or what is wrong with it. */
function readKeys(
  map: JsonValue | undefined,
  limit: number,
  validUntilOf: (entry: JsonObject) => JsonValue | undefined,
): readonly ReadKey[] | string {
  if (!isJsonObject(map)) return 'no object'
  const entries = Object.entries(map)
  if (entries.length > limit) return `more than ${limit} keys`
  const keys: ReadKey[] = []
  for (const [id, entry] of entries) {
    const keyId = id.startsWith('ed25519:') ? parseKeyId(id) : undefined
    if (keyId === undefined) continue
    const text = isJsonObject(entry) ? entry.key : undefined
    const key = typeof text === 'string' ? decodeBase64(text) : undefined
    if (!isJsonObject(entry) || key?.length !== KEY_BYTES) return `${keyId} is not the base64 of ${KEY_BYTES} bytes`
    const validUntil = validUntilOf(entry)
    if (!isInstant(validUntil)) return `${keyId} has no expired_ts`
    // A copy: small Buffers are views of a shared pool, which a key that is kept would keep alive.
    keys.push({ keyId, key: new Uint8Array(key), validUntil })
  }
  return keys
}

function signedByItself(
  object: JsonObject,
  server: ServerName,
  signers: readonly ReadKey[],
  ed25519: Ed25519,
): Promise<boolean> {
  const signatures = signaturesBy(object, server)
  const made = signers.flatMap(({ keyId, key }) => {
    const signature = signatures.get(keyId)
    return signature === undefined ? [] : [{ signature, publicKey: key }]
  })
  return allVerify(made, signedBytes(object), ed25519)
}

function isInstant(value: JsonValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function unusable(reason: string): ServerKeysResult {
  return { ok: false, reason }
}
