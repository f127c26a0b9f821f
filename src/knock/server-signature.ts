/**
 * Whether a server has signed an event, by keys that were valid at the event's time.
 * https://spec.matrix.org/latest/server-server-api/#validating-hashes-and-signatures-on-received-events
 */
import type { Ed25519 } from '../matrix/ed25519.ts'
import type { Pdu } from '../matrix/event.ts'
import { type KeyId, parseKeyId, type ServerName } from '../matrix/identifiers.ts'
import { allVerify, signaturesBy } from '../matrix/signed-json.ts'
import type { Keyring } from './ports.ts'

export interface SignaturePorts {
  readonly keyring: Keyring
  readonly ed25519: Ed25519
}

/** `unknown`: it carries signatures of the server, but none of their keys could be had. */
export type SignatureVerdict = 'good' | 'wrong' | 'missing' | 'unknown'

/** Signatures that one server can have on an event and that we look at: far more than any server has keys. */
const MAX_SIGNATURES = 16

/**
 * Judges a server's signatures on an event. Those by keys that nobody knows are passed over; none of the others may be
 * wrong, and there must be one.
 * @param signedBytes what the signatures cover, of `signedForm`
 * @param deadline absolute time in milliseconds for fetching keys
 */
export async function judgeSignature(
  { keyring, ed25519 }: SignaturePorts,
  { pdu, signedBytes }: { readonly pdu: Pdu; readonly signedBytes: Uint8Array },
  server: ServerName,
  deadline: number,
): Promise<SignatureVerdict> {
  const signatures = ed25519SignaturesBy(pdu, server)
  const keyIds = [...signatures.keys()]
  if (keyIds.length === 0) return 'missing'
  const cause = `events of ${pdu.sender.slice(pdu.sender.indexOf(':') + 1)}`
  const found = await keyring.keysFor(server, keyIds, pdu.origin_server_ts, 'event', deadline, cause)
  if (found.kind !== 'keys') return 'unknown'
  const known = found.keys.map(({ keyId, key }) => ({ signature: signatures.get(keyId) ?? '', publicKey: key }))
  if (known.length === 0) return 'unknown'
  if (!(await allVerify(known, signedBytes, ed25519))) return 'wrong'
  keyring.proved(server)
  return 'good'
}

function ed25519SignaturesBy(pdu: Pdu, server: ServerName): ReadonlyMap<KeyId, string> {
  const signatures = new Map<KeyId, string>()
  for (const [text, signature] of signaturesBy(pdu, server)) {
    const keyId = text.startsWith('ed25519:') ? parseKeyId(text) : undefined
    if (keyId !== undefined && signatures.size < MAX_SIGNATURES) signatures.set(keyId, signature)
  }
  return signatures
}
