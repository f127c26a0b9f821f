/**
 * Who signed a knock: its sender's server must have; the server of an authorising user may have to.
 * https://spec.matrix.org/latest/server-server-api/#validating-hashes-and-signatures-on-received-events
 */
import { authorisingServer } from '../matrix/auth/knock-rules.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import type { SubmittedKnock } from './knock-event.ts'
import { judgeSignature, type SignaturePorts } from './server-signature.ts'

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
  ports: SignaturePorts,
  knock: SubmittedKnock,
  version: RoomVersion,
  deadline: number,
): Promise<KnockSignatures | Refusal> {
  const refused = await refuseUnsigned(ports, knock, deadline)
  if (refused !== undefined) return refused
  const authoriser = version.authorisingUserSignature ? authorisingServer(knock.pdu) : undefined
  const authorisingServerSigned =
    authoriser !== undefined && (await judgeSignature(ports, knock, authoriser, deadline)) === 'good'
  return { ok: true, authorisingServerSigned }
}

/** A refusal where the sender's server has not validly signed. @param deadline absolute time in milliseconds for fetching keys */
export async function refuseUnsigned(
  ports: SignaturePorts,
  knock: SubmittedKnock,
  deadline: number,
): Promise<Refusal | undefined> {
  if ((await judgeSignature(ports, knock, serverNameOf(knock.sender), deadline)) === 'good') return undefined
  return refusal('M_INVALID_PARAM', 'The event is not signed by the server of its sender', 'send_knock: signature')
}
