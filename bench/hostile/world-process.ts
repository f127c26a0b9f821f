/**
 * The servers of other people, as one process: names in a DNS of their own, each with an address of its own on loopback.
 * They publish their keys and take transactions, at once or just before they are given up, or answer nothing at all.
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer, type Server } from 'node:net'
import type { Certificate } from '../../test/support/certificates.ts'
import { startFakeDns, type Zone } from '../../test/support/fake-dns.ts'
import { keyObject } from '../../test/support/key-server.ts'
import type { Identity } from '../../test/support/signing.ts'

export interface WorldServer {
  /** Without a port. */
  readonly host: string
  /** On loopback, and of no other server. */
  readonly address: string
  /** Its transactions are answered after so many milliseconds. */
  readonly answerMs: number
}

export interface WorldSetUp {
  readonly kind: 'set up'
  readonly certificate: Certificate
  readonly servers: readonly WorldServer[]
  /** Names of which DNS says nothing, or an address. */
  readonly zones: Readonly<Record<string, Zone>>
  /** Addresses on loopback that take connections and say nothing. */
  readonly silent: readonly string[]
}

export interface WorldPlace {
  /** Of the servers. */
  readonly port: number
  readonly silentPort: number
  /** `127.0.0.1:PORT`. */
  readonly dns: string
}

export type WorldMessage =
  | WorldSetUp
  /** Whose keys are asked for. */
  | { readonly kind: 'publish'; readonly identities: readonly Identity[] }
  /** Whether transactions are taken; they are not at first refused. */
  | { readonly kind: 'open'; readonly open: boolean }
  | { readonly kind: 'report' }

/** Events that came in, in the order of their coming. */
export interface WorldReport {
  readonly received: readonly { readonly host: string; readonly at: number; readonly events: number }[]
}

const MARK = Buffer.from('"membership":"knock"')
const identities = new Map<string, Identity>()
const answerMs = new Map<string, number>()
const received: WorldReport['received'][number][] = []
let open = true

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const host = (request.headers.host ?? '').replace(/:\d+$/, '')
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const identity = identities.get(host)
  if (request.method === 'GET' && identity !== undefined) {
    response.end(JSON.stringify(keyObject(identity, [])))
    return
  }
  const at = Date.now()
  if (!open) {
    response.writeHead(503).end('{}')
    return
  }
  const events = count(Buffer.concat(chunks))
  setTimeout(() => {
    received.push({ host, at, events })
    response.end('{"pdus":{}}')
  }, answerMs.get(host) ?? 0)
}

/** Who asked has given up. */
function goneAway(): void {}

function count(body: Buffer): number {
  let found = 0
  for (let at = body.indexOf(MARK); at >= 0; at = body.indexOf(MARK, at + MARK.length)) found++
  return found
}

/** Listens on each address under one port that is free on all of them. */
async function listenOn(addresses: readonly string[], create: () => Server): Promise<number> {
  const first = create()
  await once(first.listen(0, addresses[0] ?? '127.0.0.1'), 'listening')
  const { port } = first.address() as AddressInfo
  await Promise.all(addresses.slice(1).map((address) => once(create().listen(port, address), 'listening')))
  return port
}

async function setUp({ certificate, servers, zones, silent }: WorldSetUp): Promise<WorldPlace> {
  for (const { host, answerMs: after } of servers) answerMs.set(host, after)
  const own = servers.map(({ host, address }) => [host, { addresses: [address] }] as const)
  const dns = await startFakeDns({ ...Object.fromEntries(own), ...zones })
  const port = await listenOn(
    servers.map(({ address }) => address),
    () => createTlsServer(certificate, (request, response) => void answer(request, response).catch(goneAway)),
  )
  const silentPort = await listenOn(silent, () => createServer((socket) => socket.on('error', () => undefined)))
  return { port, silentPort, dns: dns.server }
}

async function obey(message: WorldMessage): Promise<WorldPlace | WorldReport | boolean> {
  switch (message.kind) {
    case 'set up':
      return setUp(message)
    case 'publish':
      for (const identity of message.identities) identities.set(identity.name.replace(/:\d+$/, ''), identity)
      return true
    case 'open':
      open = message.open
      return true
    case 'report':
      return { received }
  }
}

process.once('disconnect', () => process.exit())
process.on('message', async (message: WorldMessage) => process.send?.(await obey(message)))
