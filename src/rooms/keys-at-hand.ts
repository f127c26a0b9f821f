/**
 * Signatures of other servers by the keys that are stored here, and what those can prove. A server publishes the keys that it
 * has now; which it had under the same ids before, nobody can say. docs/decisions/0012-one-event-one-slot.md
 */
import type { StoredServerKeys, VerifyKey } from '../knock/ports/rooms.ts'
import { judgeByKeys, keyIdsOf, type SignatureVerdict, type SignedEvent } from '../knock/server-signature.ts'
import type { Ed25519 } from '../matrix/ed25519.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import { isUsableKey } from '../matrix/server-keys.ts'

/** `doubtful`: no key that is known under its id verifies it, but an earlier one may have made it. */
export type StoredKeysVerdict = SignatureVerdict | 'doubtful'

/** @param stored what is stored of the server's keys */
export async function judgeByStoredKeys(
  stored: StoredServerKeys | undefined,
  event: SignedEvent,
  server: ServerName,
  ed25519: Ed25519,
): Promise<StoredKeysVerdict> {
  const keys = (stored?.keys ?? []).filter((key) => isUsableKey(key, event.pdu.origin_server_ts, 'event'))
  return proven(await judgeByKeys(event, server, keys, ed25519), stored, event, server)
}

/**
 * A verdict as far as it is proved. A signature is proved wrong only where the server's keys were fetched before the event
 * was made, and one under the id of its key, which does not verify it, was current then.
 * @param stored what was stored of the server's keys before anybody asked for them anew
 */
export function proven(
  verdict: SignatureVerdict,
  stored: StoredServerKeys | undefined,
  { pdu }: SignedEvent,
  server: ServerName,
): StoredKeysVerdict {
  if (verdict !== 'wrong') return verdict
  const at = pdu.origin_server_ts
  const ids = keyIdsOf(pdu, server)
  const wasCurrent = ({ keyId, old, validUntil }: VerifyKey) => ids.includes(keyId) && !old && at <= validUntil
  return stored !== undefined && stored.fetchedAt <= at && stored.keys.some(wasCurrent) ? 'wrong' : 'doubtful'
}
