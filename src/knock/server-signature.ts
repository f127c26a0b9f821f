/**
 * Whether a server has signed an event, by keys that were valid at the event's time.
 * https://spec.matrix.org/latest/server-server-api/#validating-hashes-and-signatures-on-received-events
 */
import type { Ed25519 } from '../matrix/ed25519.ts'
import { type KeyId, parseKeyId, type ServerName } from '../matrix/identifiers.ts'
import type { Pdu } from '../matrix/pdu.ts'
import { allVerify, signaturesBy } from '../matrix/signed-json.ts'
import type { Keyring, VerifyKey } from './ports/rooms.ts'

export interface SignaturePorts {
  readonly keyring: Keyring
  readonly ed25519: Ed25519
}

/** An event with what its signatures cover, of `signedForm`. */
export interface SignedEvent {
  readonly pdu: Pdu
  readonly signedBytes: Uint8Array
}

/** `unknown`: it carries signatures of the server, but none of their keys could be had. */
export type SignatureVerdict = 'good' | 'wrong' | 'missing' | 'unknown'

/** Signatures that one server can have on an event and that we look at: far more than any server has keys. */
const MAX_SIGNATURES = 16

/**
 * Judges a server's signatures on an event. Those by keys that nobody knows are passed over; none of the others may be
 * wrong, and there must be one.
 * @param deadline absolute time in milliseconds for fetching keys
 */
export async function judgeSignature(
  { keyring, ed25519 }: SignaturePorts,
  event: SignedEvent,
  server: ServerName,
  deadline: number,
): Promise<SignatureVerdict> {
  const keyIds = keyIdsOf(event.pdu, server)
  if (keyIds.length === 0) return isSignedBy(event.pdu, server) ? 'unknown' : 'missing'
  const { sender, origin_server_ts: at } = event.pdu
  const cause = `events of ${sender.slice(sender.indexOf(':') + 1)}`
  const found = await keyring.keysFor(server, keyIds, at, 'event', deadline, cause)
  const keys = found.kind === 'keys' ? found.keys : []
  const verdict = await judgeByKeys(event, server, keys, ed25519)
  if (verdict === 'good') keyring.proved(server)
  return verdict
}

/**
 * The same by keys at hand. A server may have had several keys under one id: a signature is wrong where none of them
 * verifies it.
 */
export async function judgeByKeys(
  { pdu, signedBytes }: SignedEvent,
  server: ServerName,
  keys: readonly Pick<VerifyKey, 'keyId' | 'key'>[],
  ed25519: Ed25519,
): Promise<SignatureVerdict> {
  const signatures = ed25519SignaturesBy(pdu, server)
  if (signatures.size === 0) return isSignedBy(pdu, server) ? 'unknown' : 'missing'
  const verdicts: Promise<boolean>[] = []
  for (const [keyId, signature] of signatures) {
    const known = keys.filter((key) => key.keyId === keyId)
    if (known.length > 0) verdicts.push(anyVerifies(signature, known, signedBytes, ed25519))
  }
  if (verdicts.length === 0) return 'unknown'
  return (await Promise.all(verdicts)).every(Boolean) ? 'good' : 'wrong'
}

/** The ids of the keys with which a server says that it signed an event, as far as they are looked at. */
export function keyIdsOf(pdu: Pdu, server: ServerName): readonly KeyId[] {
  return [...ed25519SignaturesBy(pdu, server).keys()]
}

/** By keys of whatever name: servers have had names for keys that the specification does not allow. */
function isSignedBy(pdu: Pdu, server: ServerName): boolean {
  return signaturesBy(pdu, server).size > 0
}

async function anyVerifies(
  signature: string,
  keys: readonly Pick<VerifyKey, 'key'>[],
  message: Uint8Array,
  ed25519: Ed25519,
): Promise<boolean> {
  for (const { key } of keys) if (await allVerify([{ signature, publicKey: key }], message, ed25519)) return true
  return false
}

function ed25519SignaturesBy(pdu: Pdu, server: ServerName): ReadonlyMap<KeyId, string> {
  const signatures = new Map<KeyId, string>()
  for (const [text, signature] of signaturesBy(pdu, server)) {
    const keyId = text.startsWith('ed25519:') ? parseKeyId(text) : undefined
    if (keyId !== undefined && signatures.size < MAX_SIGNATURES) signatures.set(keyId, signature)
  }
  return signatures
}
