/**
 * Who signed a knock: its sender's server must have; the server of an authorising user may have to.
 * https://spec.matrix.org/latest/server-server-api/#validating-hashes-and-signatures-on-received-events
 */
import { authorisingServer } from '../matrix/auth/knock-rules.ts'
import { type Refusal, refusal } from '../matrix/errors.ts'
import type { Pdu } from '../matrix/event.ts'
import { parseKeyId, type ServerName, serverNameOf } from '../matrix/identifiers.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { allVerify, signaturesBy } from '../matrix/signed-json.ts'
import type { SubmittedKnock } from './knock-event.ts'
import type { KnockPorts } from './knock-ports.ts'
import type { VerifyKey } from './ports.ts'

export interface KnockSignatures {
  readonly ok: true
  /** The server of the user named in `join_authorised_via_users_server` signed too; false where it did not or none is named. */
  readonly authorisingServerSigned: boolean
}

/**
 * Checks the signatures that the rules ask for.
 * @param deadline absolute time in milliseconds for fetching keys
 * @returns `M_INVALID_PARAM` where the sender's server has not validly signed
 */
export async function checkKnockSignatures(
  ports: Pick<KnockPorts, 'keyring' | 'ed25519'>,
  knock: SubmittedKnock,
  version: RoomVersion,
  deadline: number,
): Promise<KnockSignatures | Refusal> {
  if (!(await signedBy(ports, knock, serverNameOf(knock.sender), deadline))) {
    return refusal('M_INVALID_PARAM', 'The event is not signed by the server of its sender', 'send_knock: signature')
  }
  const authoriser = version.authorisingUserSignature ? authorisingServer(knock.pdu) : undefined
  const authorisingServerSigned = authoriser !== undefined && (await signedBy(ports, knock, authoriser, deadline))
  return { ok: true, authorisingServerSigned }
}

async function signedBy(
  ports: Pick<KnockPorts, 'keyring' | 'ed25519'>,
  { pdu, signedBytes }: SubmittedKnock,
  server: ServerName,
  deadline: number,
): Promise<boolean> {
  const signatures = ed25519SignaturesBy(pdu, server)
  const keyIds = [...signatures.keys()]
  if (keyIds.length === 0) return false
  const found = await ports.keyring.keysFor(server, keyIds, pdu.origin_server_ts, 'event', deadline)
  if (found.kind === 'unavailable') return false
  // Signatures by keys that nobody knows are passed over; none of the others may be wrong.
  const known = found.keys.map(({ keyId, key }) => ({ signature: signatures.get(keyId) ?? '', publicKey: key }))
  return allVerify(known, signedBytes, ports.ed25519)
}

/** Signatures that one server can have on an event and that we look at: far more than any server has keys. */
const MAX_SIGNATURES = 16

function ed25519SignaturesBy(pdu: Pdu, server: ServerName): ReadonlyMap<VerifyKey['keyId'], string> {
  const signatures = new Map<VerifyKey['keyId'], string>()
  for (const [text, signature] of signaturesBy(pdu, server)) {
    const keyId = text.startsWith('ed25519:') ? parseKeyId(text) : undefined
    if (keyId !== undefined && signatures.size < MAX_SIGNATURES) signatures.set(keyId, signature)
  }
  return signatures
}
