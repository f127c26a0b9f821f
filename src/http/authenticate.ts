/**
 * Who sent this request, in three steps, so that nobody's body is looked at early: the head and whom it names, the origin's
 * current keys, the signature over the raw target and the parsed body.
 * https://spec.matrix.org/latest/server-server-api/#request-authentication
 */
import { OWN_SERVER, SERVER_DENIED } from '../knock/allowed-servers.ts'
import type { Clock, Keyring } from '../knock/ports/rooms.ts'
import type { Ed25519 } from '../matrix/ed25519.ts'
import { type KeyId, parseKeyId, type ServerName } from '../matrix/identifiers.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { ServerAcl } from '../matrix/server-acl.ts'
import { allVerify, type SignatureWithKey } from '../matrix/signed-json.ts'
import { isXMatrix, parseXMatrix, requestBytes, type XMatrix } from '../matrix/x-matrix.ts'
import { OWN_LACK } from './error-body.ts'

/** Why a request was not let in, for metrics: a remote that meets 401 may back off from the whole homeserver. */
export type AuthenticationFailure =
  | 'no_header'
  | 'malformed_header'
  | 'wrong_destination'
  | 'denied_server'
  | 'own_name'
  | 'keys_unavailable'
  /** What we need for the check is not there: no fault of the remote's, and no 401. */
  | 'own_lack'
  | 'unknown_key'
  | 'wrong_signature'

export type Authentication =
  | { readonly ok: true; readonly origin: ServerName }
  | {
      readonly ok: false
      readonly refusal: Refusal
      readonly failure: AuthenticationFailure
      /** Whom the request claims to come from, where it says so in an acceptable way. */
      readonly claimed: ServerName | undefined
      /** For the operator's log alone: what a connection met may be told to nobody who can choose where it goes. */
      readonly detail: string | undefined
    }

export interface AuthenticationPorts {
  /** Our own, undelegated name. */
  readonly serverName: ServerName
  readonly keyring: Keyring
  readonly ed25519: Ed25519
  readonly clock: Clock
  /** Servers that the operator lets in at all. */
  readonly allowedServers: ServerAcl
}

/** Who a request claims to come from. Nothing of it is proved. */
export interface Claim {
  readonly ok: true
  readonly origin: ServerName
  /** At least one, all by this origin for the same destination. */
  readonly signatures: readonly Pick<XMatrix, 'keyId' | 'signature'>[]
}

/** A claim with keys of the origin for it: signatures that can be checked, at least one. */
export interface KeyedClaim {
  readonly ok: true
  readonly origin: ServerName
  readonly signatures: readonly SignatureWithKey[]
}

export interface SignedParts {
  readonly method: string
  readonly uri: string
  /** The body of a request that has one, as canonical JSON. */
  readonly content?: string
}

export type NotAuthentic = Extract<Authentication, { ok: false }>

/** Senders sign with each of their keys, of which they have one, or two while they change it. */
const MAX_CLAIMS = 5

/**
 * Who sent a request, as far as its head says, and whether that server is let in at all. Costs next to nothing.
 * @param rawHeaders name, value, name, value as received, so that no line is merged or lost
 */
export function readClaim(
  { serverName, allowedServers }: AuthenticationPorts,
  rawHeaders: readonly string[],
): Claim | NotAuthentic {
  const claims = readClaims(rawHeaders)
  if (claims === 'none') return unauthorized('no_header', 'The request has no X-Matrix authorization')
  if (claims === 'malformed') return unauthorized('malformed_header', 'The X-Matrix authorization is malformed')
  const { origin, destination } = claims[0]
  if (claims.some((claim) => claim.origin !== origin || claim.destination !== destination)) {
    return unauthorized('malformed_header', 'The X-Matrix authorizations contradict one another', origin)
  }
  if (destination !== undefined && destination !== serverName) return wrongDestination(serverName, origin)
  if (!allowedServers.allows(origin)) {
    return { ok: false, refusal: SERVER_DENIED, failure: 'denied_server', claimed: origin, detail: undefined }
  }
  return { ok: true, origin, signatures: claims }
}

type Claims = readonly [XMatrix, ...XMatrix[]]

function readClaims(rawHeaders: readonly string[]): Claims | 'none' | 'malformed' {
  const claims: XMatrix[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    const value = rawHeaders[at + 1] ?? ''
    if (name.length !== AUTHORIZATION.length || name.toLowerCase() !== AUTHORIZATION || !isXMatrix(value)) continue
    const parsed = claims.length < MAX_CLAIMS ? parseXMatrix(value) : undefined
    if (!parsed?.ok) return 'malformed'
    claims.push(parsed.value)
  }
  const [first, ...more] = claims
  return first === undefined ? 'none' : [first, ...more]
}

const AUTHORIZATION = 'authorization'

/**
 * Looks for current keys of the origin.
 * @param cause who makes us look, as Keyring has it
 * @param deadline absolute time in milliseconds after which keys are no longer waited for
 */
export async function findKeys(
  { keyring, clock }: AuthenticationPorts,
  { origin, signatures }: Claim,
  cause: string,
  deadline: number,
): Promise<KeyedClaim | NotAuthentic> {
  const keyIds: KeyId[] = []
  for (const { keyId } of signatures) {
    const parsed = keyId.startsWith('ed25519:') ? parseKeyId(keyId) : undefined
    if (parsed !== undefined) keyIds.push(parsed)
  }
  const lookup = await keyring.keysFor(origin, keyIds, clock(), 'request', deadline, cause)
  if (lookup.kind === 'unavailable') {
    return unauthorized('keys_unavailable', 'The keys of your server could not be had', origin, lookup.reason)
  }
  if (lookup.kind === 'lacking') {
    return { ok: false, refusal: OWN_LACK, failure: 'own_lack', claimed: origin, detail: lookup.reason }
  }
  const withKeys: SignatureWithKey[] = []
  for (const { keyId, signature } of signatures) {
    const current = lookup.keys.find((key) => key.keyId === keyId && !key.old)
    if (current !== undefined) withKeys.push({ signature, publicKey: current.key })
  }
  if (withKeys.length === 0) return unauthorized('unknown_key', 'No current key of your server signed this', origin)
  return { ok: true, origin, signatures: withKeys }
}

/** Checks the signatures over a request. None may be wrong. */
export async function verify(
  { serverName, keyring, ed25519 }: AuthenticationPorts,
  { origin, signatures }: KeyedClaim,
  { method, uri, content }: SignedParts,
): Promise<Authentication> {
  const signed = requestBytes({ method, uri, origin, destination: serverName }, content)
  if (!(await allVerify(signatures, signed, ed25519))) {
    return unauthorized('wrong_signature', 'The signature of the request is wrong', origin)
  }
  keyring.proved(origin)
  if (origin !== serverName) return { ok: true, origin }
  return { ok: false, refusal: OWN_SERVER, failure: 'own_name', claimed: origin, detail: undefined }
}

/** Says who we are: the id of a version 12 room does not, and a knocking server may have come by an address alone. */
function wrongDestination(serverName: ServerName, claimed: ServerName): NotAuthentic {
  const wrong = refusal('M_UNAUTHORIZED', 'The request is for another server', 'X-Matrix: wrong_destination')
  const challenge = `X-Matrix destination="${serverName}"`
  return { ok: false, refusal: { ...wrong, challenge }, failure: 'wrong_destination', claimed, detail: undefined }
}

function unauthorized(
  failure: AuthenticationFailure,
  error: string,
  claimed?: ServerName,
  detail?: string,
): NotAuthentic {
  return { ok: false, refusal: refusal('M_UNAUTHORIZED', error, `X-Matrix: ${failure}`), failure, claimed, detail }
}
