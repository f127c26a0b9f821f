/** Other servers' keys as a store keeps them. */
import type { StoredServerKeys } from '../knock/ports/rooms.ts'
import type { KeyId } from '../matrix/identifiers.ts'

interface KeyRow {
  readonly keyId: string
  readonly key: string
  readonly validUntil: number
  readonly old: boolean
}

/** Keys as the text that decodeKeys reads. */
export function encodeKeys(keys: StoredServerKeys['keys']): string {
  const rows: KeyRow[] = keys.map(({ key, ...rest }) => ({ ...rest, key: Buffer.from(key).toString('base64') }))
  return JSON.stringify(rows)
}

/** Keys out of the text that encodeKeys wrote. */
export function decodeKeys(json: string): StoredServerKeys['keys'] {
  const rows = JSON.parse(json) as KeyRow[]
  return rows.map(({ keyId, key, validUntil, old }) => ({
    keyId: keyId as KeyId,
    key: new Uint8Array(Buffer.from(key, 'base64')),
    validUntil,
    old,
  }))
}
