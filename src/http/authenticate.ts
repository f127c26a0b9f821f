/**
 * Who sent this request: X-Matrix checked over the raw target and the parsed body, with the origin's current keys.
 * https://spec.matrix.org/latest/server-server-api/#request-authentication
 */
import { OWN_SERVER, SERVER_DENIED } from '../knock/admission.ts'
import type { Clock, Keyring } from '../knock/ports.ts'
import { canonicalJson } from '../matrix/canonical-json.ts'
import type { Ed25519 } from '../matrix/ed25519.ts'
import { type Refusal, refusal } from '../matrix/errors.ts'
import { type KeyId, parseKeyId, type ServerName } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { ServerAcl } from '../matrix/server-acl.ts'
import { allVerify, type SignatureWithKey } from '../matrix/signed-json.ts'
import { isXMatrix, parseXMatrix, requestObject, type XMatrix } from '../matrix/x-matrix.ts'

/** Why a request was not let in, for metrics: a remote that meets 401 may back off from the whole homeserver. */
export type AuthenticationFailure =
  | 'no_header'
  | 'malformed_header'
  | 'wrong_destination'
  | 'denied_server'
  | 'own_name'
  | 'keys_unavailable'
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
  readonly admission: ServerAcl
}

export interface RequestToAuthenticate {
  readonly method: string
  readonly uri: string
  /** Name, value, name, value as received, so that no line is merged or lost. */
  readonly rawHeaders: readonly string[]
  /** The parsed body of a request that has one. */
  readonly content?: JsonObject
  /** Absolute time in milliseconds after which keys are no longer waited for. */
  readonly deadline: number
}

/** Checks every X-Matrix line of a request; each signature by a known key must hold, and there must be one. */
export async function authenticate(
  ports: AuthenticationPorts,
  request: RequestToAuthenticate,
): Promise<Authentication> {
  const claims = readClaims(request.rawHeaders)
  if (claims === 'none') return unauthorized('no_header', 'The request has no X-Matrix authorization')
  if (claims === 'malformed') return unauthorized('malformed_header', 'The X-Matrix authorization is malformed')
  const { origin, destination } = claims[0]
  if (claims.some((claim) => claim.origin !== origin || claim.destination !== destination)) {
    return unauthorized('malformed_header', 'The X-Matrix authorizations contradict one another', origin)
  }
  if (destination !== undefined && destination !== ports.serverName) {
    return wrongDestination(ports.serverName, origin)
  }
  if (!ports.admission.allows(origin)) {
    return { ok: false, refusal: SERVER_DENIED, failure: 'denied_server', claimed: origin, detail: undefined }
  }
  return verify(ports, request, claims)
}

type Claims = readonly [XMatrix, ...XMatrix[]]

function readClaims(rawHeaders: readonly string[]): Claims | 'none' | 'malformed' {
  const claims: XMatrix[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    const value = rawHeaders[at + 1] ?? ''
    if (name.length !== AUTHORIZATION.length || name.toLowerCase() !== AUTHORIZATION || !isXMatrix(value)) continue
    const parsed = parseXMatrix(value)
    if (!parsed.ok) return 'malformed'
    claims.push(parsed.value)
  }
  const [first, ...more] = claims
  return first === undefined ? 'none' : [first, ...more]
}

const AUTHORIZATION = 'authorization'

async function verify(
  { serverName, keyring, ed25519, clock }: AuthenticationPorts,
  { method, uri, content, deadline }: RequestToAuthenticate,
  claims: Claims,
): Promise<Authentication> {
  const { origin } = claims[0]
  const keyIds: KeyId[] = []
  for (const { keyId } of claims) {
    const parsed = keyId.startsWith('ed25519:') ? parseKeyId(keyId) : undefined
    if (parsed !== undefined) keyIds.push(parsed)
  }
  const lookup = await keyring.keysFor(origin, keyIds, clock(), 'request', deadline)
  if (lookup.kind === 'unavailable') {
    return unauthorized('keys_unavailable', 'The keys of your server could not be had', origin, lookup.reason)
  }
  const signatures: SignatureWithKey[] = []
  for (const { keyId, signature } of claims) {
    const current = lookup.keys.find((key) => key.keyId === keyId && !key.old)
    if (current !== undefined) signatures.push({ signature, publicKey: current.key })
  }
  if (signatures.length === 0) return unauthorized('unknown_key', 'No current key of your server signed this', origin)

  const signed = canonicalJson(
    requestObject({ method, uri, origin, destination: serverName, ...(content && { content }) }),
  )
  if (!(await allVerify(signatures, signed, ed25519))) {
    return unauthorized('wrong_signature', 'The signature of the request is wrong', origin)
  }
  keyring.proved(origin)
  if (origin !== serverName) return { ok: true, origin }
  return { ok: false, refusal: OWN_SERVER, failure: 'own_name', claimed: origin, detail: undefined }
}

/** Says who we are: the id of a version 12 room does not, and a knocking server may have come by an address alone. */
function wrongDestination(serverName: ServerName, claimed: ServerName): Authentication {
  const wrong = refusal('M_UNAUTHORIZED', 'The request is for another server', 'X-Matrix: wrong_destination')
  const challenge = `X-Matrix destination="${serverName}"`
  return { ok: false, refusal: { ...wrong, challenge }, failure: 'wrong_destination', claimed, detail: undefined }
}

function unauthorized(
  failure: AuthenticationFailure,
  error: string,
  claimed?: ServerName,
  detail?: string,
): Authentication {
  return { ok: false, refusal: refusal('M_UNAUTHORIZED', error, `X-Matrix: ${failure}`), failure, claimed, detail }
}
