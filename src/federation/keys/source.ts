/**
 * Where the keys of a server can be asked for: the server itself, or a notary. Both answer with checked key objects.
 * https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
 */
import type { KeyId, ServerName } from '../../matrix/identifiers.ts'
import type { ServerKeys } from '../../matrix/server-keys.ts'
import type { Failure } from '../failure.ts'

export interface KeyQuestion {
  readonly server: ServerName
  readonly keyIds: readonly KeyId[]
  /** The keys should be valid at least up to here, milliseconds since the epoch. */
  readonly minimumValidUntil: number
  /** Absolute time in milliseconds. */
  readonly deadline: number
  /** Who makes us ask. */
  readonly cause: string
  /** Nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

export type KeyAnswer =
  /** What was published; never empty. */
  { readonly kind: 'keys'; readonly published: readonly ServerKeys[] } | Failure

export interface KeySource {
  ask(question: KeyQuestion): Promise<KeyAnswer>
}

/** Whether what was published has each key that was asked for, valid as long as it was asked to be. */
export function suffices(published: readonly ServerKeys[], { keyIds, minimumValidUntil }: KeyQuestion): boolean {
  const valid = published.flatMap(({ keys }) => keys).filter(({ validUntil }) => validUntil >= minimumValidUntil)
  return keyIds.every((wanted) => valid.some(({ keyId }) => keyId === wanted))
}

/** A key object of a server with hundreds of retired keys fits. */
export const MAX_KEY_OBJECT_BYTES = 64 * 1024
