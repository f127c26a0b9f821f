/**
 * Requests to other servers in our name: signed, sent where discovery says.
 * https://spec.matrix.org/latest/server-server-api/#request-authentication
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { Ed25519, SigningKey } from '../../matrix/ed25519.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import { authorizationOf, authorizationOfCanonical } from '../../matrix/x-matrix.ts'
import type { Discovery } from '../discovery/server-discovery.ts'
import type { HttpAgent, OutboundResponse } from './agent.ts'

/** Canonical JSON in pieces, made as they are asked for, as often as they are. */
export interface CanonicalContent extends Iterable<Uint8Array> {
  /** Bytes in all. */
  readonly length: number
}

export interface FederationRequest {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly destination: ServerName
  /** The raw request target from `/_matrix/` on, as it is signed and sent. */
  readonly uri: string
  readonly content?: CanonicalContent
  /** Absolute time in milliseconds. */
  readonly deadline: number
  readonly signal?: AbortSignal
  /** Asked before an address is connected to: false leaves it out. */
  readonly enter?: (address: string) => boolean
}

/** `busy`: nothing was sent, because `enter` let no address in. */
export type FederationResponse = OutboundResponse | { readonly kind: 'busy' }

export interface FederationClient {
  /** Signs and sends one request. Every failure is a value. */
  request(request: FederationRequest): Promise<FederationResponse>
}

export interface FederationClientOptions {
  readonly serverName: ServerName
  /** Undefined where the homeserver keeps it to itself: then nothing can be sent. */
  readonly signingKey: SigningKey | undefined
  readonly ed25519: Ed25519
  readonly discovery: Discovery
  readonly agent: HttpAgent
}

const MAX_RESPONSE_BYTES = 256 * 1024
const WITHOUT_KEY: OutboundResponse = {
  kind: 'failed',
  reason: 'requests to other servers need the signing key (signing_key_path)',
}

export function createFederationClient(options: FederationClientOptions): FederationClient {
  const { serverName, signingKey, ed25519, discovery, agent } = options

  /** Names are the undelegated ones: delegation says where to connect, never who is meant. */
  function authorization({ method, uri, destination, content }: FederationRequest, signingKey: SigningKey): string {
    const named = { method, uri, origin: serverName, destination }
    return content === undefined
      ? authorizationOf(named, signingKey, ed25519)
      : authorizationOfCanonical(named, content, signingKey, ed25519)
  }

  /** Half a megabyte takes milliseconds: of many that are ready at once each has a turn of the event loop to itself. */
  let signed: Promise<unknown> = Promise.resolve()
  function authorizationInTurn(request: FederationRequest, signingKey: SigningKey): Promise<string> {
    const made = signed.then(() => authorization(request, signingKey))
    signed = made.then(
      () => turn(),
      () => turn(),
    )
    return made
  }

  return {
    async request(request) {
      const { method, destination, uri, content, deadline, signal, enter } = request
      if (signingKey === undefined) return WITHOUT_KEY
      const found = await discovery.discover(destination, deadline)
      if (found.kind === 'failed') {
        discovery.unreachable(destination)
        return found
      }
      // What cannot be sent now is not signed either.
      const first = enter === undefined ? 0 : found.targets.findIndex(({ address }) => enter(address))
      if (first < 0) return { kind: 'busy' }
      const headers = { accept: 'application/json', authorization: await authorizationInTurn(request, signingKey) }
      const ending = { ...(signal && { signal }), ...(enter && { enter }) }
      const wanted = { method, path: uri, headers, maxBytes: MAX_RESPONSE_BYTES, deadline, ...ending }
      const response = await agent.requestAny(
        found.targets.slice(first),
        content === undefined
          ? wanted
          : {
              ...wanted,
              headers: {
                ...headers,
                'content-type': 'application/json',
                'content-length': String(content.length),
              },
              body: content,
            },
      )
      if (response.kind === 'failed') discovery.unreachable(destination)
      return response
    },
  }
}
