/**
 * What a fake homeserver answers when it is asked for its keys, truthfully or not.
 * https://spec.matrix.org/latest/server-server-api/#publishing-keys
 */
import type { ServerResponse } from 'node:http'
import { base64, createIdentity, type Identity, type JsonRecord, withSignature } from './signing.ts'

/** How a key server behaves. All but the `good` ones are to be refused. */
export type KeyBehaviour =
  | 'good'
  | 'hang'
  | 'error'
  | 'wrong-name'
  | 'wrong-signature'
  | 'unsigned'
  | 'expired'
  | 'good-for-a-year'
  | 'huge'
  | 'not-json'
  | 'redirect-to-metadata'

const WEEK = 7 * 86_400_000
const HUGE = 50 * 1024 * 1024

/** A retired key and when it was retired. */
export interface OldKey {
  readonly identity: Identity
  readonly expiredAt: number
}

/** The signed key object of a server. @param further keys of the server beside the one that it signs with */
export function keyObject(
  identity: Identity,
  oldKeys: readonly OldKey[],
  validUntil = Date.now() + WEEK,
  further: readonly Identity[] = [],
): JsonRecord {
  const verifyKeys = [identity, ...further].map(({ keyId, publicKey }) => [keyId, { key: base64(publicKey) }])
  const draft: JsonRecord = {
    server_name: identity.name,
    valid_until_ts: validUntil,
    verify_keys: Object.fromEntries(verifyKeys),
    old_verify_keys: Object.fromEntries(
      oldKeys.map((old) => [old.identity.keyId, { key: base64(old.identity.publicKey), expired_ts: old.expiredAt }]),
    ),
  }
  return [identity, ...further].reduce((object, signer) => withSignature(object, signer), draft)
}

/** Answers one `GET /_matrix/key/v2/server`. */
export function answerKeys(
  behaviour: KeyBehaviour,
  identity: Identity,
  oldKeys: readonly OldKey[],
  response: ServerResponse,
  further: readonly Identity[] = [],
): void {
  const object = keyObjectOf(behaviour, identity, oldKeys, further)
  if (object !== undefined) sendJson(response, 200, object)
  else if (behaviour === 'error') sendJson(response, 500, { errcode: 'M_UNKNOWN', error: 'out of order' })
  else if (behaviour === 'not-json') response.writeHead(200).end('<html>moved</html>')
  else if (behaviour === 'huge') sendEndlessly(response)
  else if (behaviour === 'redirect-to-metadata') {
    response.writeHead(302, { location: 'http://169.254.169.254/_matrix/key/v2/server' }).end()
  }
}

/** The key object of the behaviours that answer with one. */
function keyObjectOf(
  behaviour: KeyBehaviour,
  identity: Identity,
  oldKeys: readonly OldKey[],
  further: readonly Identity[],
): JsonRecord | undefined {
  const honest = keyObject(identity, oldKeys, Date.now() + WEEK, further)
  if (behaviour === 'good') return honest
  if (behaviour === 'unsigned') return { ...honest, signatures: {} }
  if (behaviour === 'good-for-a-year') return keyObject(identity, oldKeys, Date.now() + 52 * WEEK)
  if (behaviour === 'expired') return keyObject(identity, oldKeys, Date.now() - 1000)
  if (behaviour === 'wrong-name') return keyObject({ ...identity, name: 'another.example.test' }, oldKeys)
  if (behaviour !== 'wrong-signature') return undefined
  return withSignature(honest, createIdentity(identity.name, identity.keyId))
}

/** Answers with a JSON body. */
export function sendJson(response: ServerResponse, status: number, body: JsonRecord): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function sendEndlessly(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, 0x20)
  let sent = 0
  const more = (): void => {
    while (sent < HUGE) {
      sent += chunk.length
      if (!response.write(chunk)) {
        response.once('drain', more)
        return
      }
    }
    response.end('{}')
  }
  response.writeHead(200, { 'content-type': 'application/json' })
  more()
}
