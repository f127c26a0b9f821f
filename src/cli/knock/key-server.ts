/**
 * Publishes the key of a knocking server over HTTPS, where the resident looks for it.
 * https://spec.matrix.org/latest/server-server-api/#publishing-keys
 */
import { once } from 'node:events'
import { createServer } from 'node:https'
import { encodeBase64 } from '../../matrix/base64.ts'
import { nativeEd25519 } from '../../matrix/ed25519.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { signJson } from '../../matrix/signed-json.ts'
import type { Requester } from './client.ts'

export interface KeyServerOptions {
  readonly host: string
  readonly port: number
  /** Certificate and private key, PEM. */
  readonly cert: string
  readonly key: string
  /** Called whenever somebody asks for the key. */
  readonly onAsked: (address: string) => void
}

export interface KeyServer {
  close(): Promise<void>
}

/** The key is wanted for one knock; a response should not expire within the hour. */
const VALID_FOR_MS = 86_400_000

/**
 * Listens and answers `GET /_matrix/key/v2/server`; all else is 404.
 * @param now when the key object is signed, in milliseconds since the epoch
 * @throws what listening throws: the address is taken, or the certificate is none
 */
export async function startKeyServer(requester: Requester, options: KeyServerOptions, now: number): Promise<KeyServer> {
  const keys = JSON.stringify(keyObject(requester, now + VALID_FOR_MS))
  const server = createServer({ cert: options.cert, key: options.key }, (request, response) => {
    const [path] = (request.url ?? '').split('?')
    if (request.method === 'GET' && path === '/_matrix/key/v2/server') {
      options.onAsked(request.socket.remoteAddress ?? 'somebody')
      response.writeHead(200, { 'content-type': 'application/json' }).end(keys)
    } else {
      const error = JSON.stringify({ errcode: 'M_UNRECOGNIZED', error: 'Only keys are served here' })
      response.writeHead(404, { 'content-type': 'application/json' }).end(error)
    }
  })
  await once(server.listen(options.port, options.host), 'listening')
  return {
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function keyObject({ serverName, key }: Requester, validUntil: number): JsonObject {
  const object = {
    server_name: serverName,
    valid_until_ts: validUntil,
    verify_keys: { [key.keyId]: { key: encodeBase64(key.publicKey) } },
    old_verify_keys: {},
  }
  return signJson(object, serverName, key, nativeEd25519)
}
