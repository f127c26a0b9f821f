/**
 * A homeserver on loopback over real TLS, as far as federation with it is concerned: it publishes its keys and takes
 * transactions, checking what it is sent. It shares no code with what it tests.
 * https://spec.matrix.org/latest/server-server-api/
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { CertificateAuthority } from './certificates.ts'
import { LOOPBACK_NAMES } from './certificates.ts'
import { idOf, type TestedVersion } from './events.ts'
import { answerKeys, type KeyBehaviour, type OldKey, sendJson } from './key-server.ts'
import { canonical, createIdentity, type Identity, type JsonRecord, verifyText } from './signing.ts'

/** A transaction that arrived and was what it should be. */
export interface ReceivedTransaction {
  readonly txnId: string
  readonly origin: string
  readonly pdus: readonly JsonRecord[]
  /** The ids of `pdus`, computed here. */
  readonly eventIds: readonly string[]
  readonly body: JsonRecord
}

export interface FakeHomeserver {
  /** Its server name, `127.0.0.1:PORT` or `localhost:PORT`. */
  readonly name: string
  readonly port: number
  /** Its current identity; `rotate` changes it. */
  identity: Identity
  /** Further keys that it publishes. */
  further: readonly Identity[]
  /** How it answers for its keys. */
  keys: KeyBehaviour
  /** How it answers transactions. */
  transactions: 'good' | 'error' | 'hang'
  readonly received: readonly ReceivedTransaction[]
  /** Ids of the transactions that came in, answered or not. */
  readonly attempts: readonly string[]
  /** What was wrong with what it was sent. Empty where all was well. */
  readonly complaints: readonly string[]
  /** How often it was asked for its keys. */
  keyRequests: number
  /** Takes a new key, and publishes the one before as retired. */
  rotate(keyId: string): void
  close(): Promise<void>
}

export interface FakeHomeserverOptions {
  readonly authority: CertificateAuthority
  readonly host?: '127.0.0.1' | 'localhost'
  /** Who may send it transactions: the public key of a server, where there is one of that id. */
  readonly publicKeyOf?: (server: string, keyId: string) => Uint8Array | undefined
  /** The version of a room, for the ids of its events. */
  readonly versionOf?: (roomId: string) => TestedVersion | undefined
  /** Names of its certificate; all loopback names where left out. */
  readonly certificateNames?: readonly string[]
  /** Port to listen on; a free one where left out. */
  readonly port?: number
  /** Answers what is neither about keys nor a transaction; 404 where left out. */
  readonly answerOther?: (request: IncomingMessage, response: ServerResponse) => void
}

/** Starts a fake homeserver on a free port. */
export async function startFakeHomeserver(options: FakeHomeserverOptions): Promise<FakeHomeserver> {
  const received: ReceivedTransaction[] = []
  const attempts: string[] = []
  const complaints: string[] = []
  const oldKeys: OldKey[] = []
  const server = createServer(options.authority.issue(options.certificateNames ?? LOOPBACK_NAMES))
  await once(server.listen(options.port ?? 0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const name = `${options.host ?? '127.0.0.1'}:${port}`
  const homeserver: FakeHomeserver = {
    name,
    port,
    identity: createIdentity(name),
    further: [],
    keys: 'good',
    transactions: 'good',
    received,
    attempts,
    complaints,
    keyRequests: 0,
    rotate(keyId) {
      oldKeys.push({ identity: homeserver.identity, expiredAt: Date.now() })
      homeserver.identity = createIdentity(name, keyId)
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const url = request.url ?? ''
    if (request.method === 'GET' && url.startsWith('/_matrix/key/v2/server')) {
      homeserver.keyRequests += 1
      answerKeys(homeserver.keys, homeserver.identity, oldKeys, response, homeserver.further)
    } else if (request.method === 'PUT' && url.startsWith('/_matrix/federation/v1/send/')) {
      takeTransaction(homeserver, options, { received, attempts, complaints }, request, response).catch((error) => {
        complaints.push(String(error))
        response.destroy()
      })
    } else if (options.answerOther !== undefined) {
      options.answerOther(request, response)
    } else {
      sendJson(response, 404, { errcode: 'M_UNRECOGNIZED', error: 'no such endpoint' })
    }
  })
  return homeserver
}

interface Records {
  readonly received: ReceivedTransaction[]
  readonly attempts: string[]
  readonly complaints: string[]
}

async function takeTransaction(
  homeserver: FakeHomeserver,
  options: FakeHomeserverOptions,
  { received, attempts, complaints }: Records,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const txnId = decodeURIComponent((request.url ?? '').split('/').at(-1) ?? '')
  attempts.push(txnId)
  if (homeserver.transactions === 'hang') return
  if (homeserver.transactions === 'error') {
    sendJson(response, 500, { errcode: 'M_UNKNOWN', error: 'no' })
    return
  }
  const body = JSON.parse(Buffer.concat(chunks).toString()) as JsonRecord
  const flaw = headerFlaw(request, body, homeserver.name, options)
  if (flaw !== undefined) {
    complaints.push(flaw)
    sendJson(response, 401, { errcode: 'M_UNAUTHORIZED', error: flaw })
    return
  }
  const pdus = body.pdus as readonly JsonRecord[]
  if (pdus.length > 50) complaints.push(`${pdus.length} PDUs in one transaction`)
  const eventIds = pdus.map((pdu) => idOf(pdu, options.versionOf?.(String(pdu.room_id)) ?? '11'))
  if (!received.some((earlier) => earlier.txnId === txnId)) {
    received.push({ txnId, origin: String(body.origin), pdus, eventIds, body })
  }
  sendJson(response, 200, { pdus: Object.fromEntries(eventIds.map((eventId) => [eventId, {}])) })
}

/** The quoted parameters of an X-Matrix header, in whatever order; servers differ in it. */
function parametersOf(header: string): Readonly<Record<string, string | undefined>> {
  if (!/^X-Matrix [a-z]+="[^"]+"(?:,[a-z]+="[^"]+")*$/.test(header)) return {}
  return Object.fromEntries([...header.matchAll(/([a-z]+)="([^"]+)"/g)].map(([, name, value]) => [name, value]))
}

function headerFlaw(
  request: IncomingMessage,
  content: JsonRecord,
  destination: string,
  { publicKeyOf }: FakeHomeserverOptions,
): string | undefined {
  const header = request.headers.authorization ?? ''
  const { origin, destination: to, key, sig } = parametersOf(header)
  if (!origin || !key || !sig) return `not an X-Matrix header: ${header}`
  if (to !== destination) return `for ${to}, not for ${destination}`
  if (content.origin !== origin) return `the transaction's origin is ${content.origin}, the sender is ${origin}`
  const publicKey = publicKeyOf?.(origin, key)
  if (publicKey === undefined) return `${origin} has no key ${key}`
  const text = canonical({ method: 'PUT', uri: request.url ?? '', origin, destination, content })
  return verifyText(text, sig, publicKey) ? undefined : `the signature of ${origin} is wrong`
}
