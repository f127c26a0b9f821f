/**
 * A knock of our own name through the public address: it must reach this service with its target as it was sent, and be
 * answered with the one refusal that touches no room.
 */
import type { HomeserverClient } from '../homeserver/homeserver-client.ts'
import { OWN_SERVER } from '../knock/allowed-servers.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import { type Check, type Finding, failed, ok } from './check.ts'

export interface PublicAddress {
  /** Asks at the public address, signed as ourselves. */
  readonly client: HomeserverClient
  readonly url: string
  readonly serverName: ServerName
  readonly clock: Clock
}

const WITHIN_MS = 15_000
const PROXY = 'docs/reverse-proxy.md'

export function publicCheck(subject: PublicAddress): Check {
  return { name: 'reverse proxy', run: () => knockThrough(subject) }
}

async function knockThrough({ client, url, serverName, clock }: PublicAddress): Promise<Finding> {
  // Escapes that a proxy which decodes, merges or encodes anew would change, and so break the signature.
  const room = `%21doctor%2Fa%2B%25:${encodeURIComponent(serverName)}`
  const user = encodeURIComponent(`@doctor:${serverName}`)
  const answer = await client.get(`/_matrix/federation/v1/make_knock/${room}/${user}?ver=11`, clock() + WITHIN_MS)
  if (answer.kind === 'failed') {
    return failed(
      `${url} cannot be reached: ${answer.reason}`,
      '--public-url: name the public federation address',
      PROXY,
    )
  }
  const { status, body } = answer
  if (status === OWN_SERVER.status && body?.error === OWN_SERVER.error)
    return ok(`knocks sent to ${url} arrive as they were sent`)
  const answered = `${url} answers ${[status, body?.errcode, body?.error].filter((part) => part !== undefined).join(' ')}`
  if (status === 401)
    return failed(answered, 'let the proxy pass the request target and Authorization untouched', PROXY)
  return failed(
    answered,
    'lead /_matrix/federation/v1/make_knock/ and send_knock/ to this service, and start it',
    PROXY,
  )
}
