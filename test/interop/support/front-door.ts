/**
 * The public name of a homeserver whose knocks go to the service: TLS, keys, and a record of what the service answers. It
 * can change a template on its way out, so that a real homeserver signs what it would not write by itself, and it can let
 * something happen between a template and its knock.
 */
import { once } from 'node:events'
import { type IncomingMessage, request as plainRequest, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { CertificateAuthority } from '../../support/certificates.ts'
import { keyObject, sendJson } from '../../support/key-server.ts'
import { freePorts } from '../../support/service-process.ts'
import { createIdentity, type Identity, type JsonRecord } from '../../support/signing.ts'

export interface PassedAnswer {
  readonly call: 'make_knock' | 'send_knock'
  readonly status: number
}

export interface FrontDoor {
  /** Named `HOST:PORT`. */
  readonly identity: Identity
  /** The port of the service on 127.0.0.1. */
  to: number
  /** What the service has answered, in order. */
  readonly answers: readonly PassedAnswer[]
  /** Changes the event of each template. */
  alter: (event: JsonRecord) => JsonRecord
  /** Happens before a knock goes to the service. */
  before: () => Promise<void>
  close(): Promise<void>
}

const CALL = /^\/_matrix\/federation\/v1\/(make_knock|send_knock)\//

/** @param host a loopback address of its own */
export async function openFrontDoor(authority: CertificateAuthority, host: `127.0.0.${number}`): Promise<FrontDoor> {
  const [port = 0] = await freePorts(1)
  const server = createServer(authority.issue([host]))
  await once(server.listen(port, host), 'listening')
  const answers: PassedAnswer[] = []
  const door: FrontDoor = {
    identity: createIdentity(`${host}:${port}`),
    to: 0,
    answers,
    alter: (event) => event,
    before: async () => undefined,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [, call] = CALL.exec(request.url ?? '') ?? []
    if (request.url?.startsWith('/_matrix/key/v2/server')) return sendJson(response, 200, keyObject(door.identity, []))
    if (call === undefined) return sendJson(response, 404, { errcode: 'M_UNRECOGNIZED', error: 'no such endpoint' })
    if (call === 'send_knock') await door.before()
    const { status, text } = await ask(door.to, request)
    answers.push({ call: call as PassedAnswer['call'], status })
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(call === 'make_knock' && status === 200 ? altered(text, door.alter) : text)
  }
  server.on('request', (request, response) => {
    pass(request, response).catch(() => response.destroy())
  })
  return door
}

/** Sends a request on as it came. */
async function ask(
  port: number,
  request: IncomingMessage,
): Promise<{ readonly status: number; readonly text: string }> {
  const { method, url: path, rawHeaders: headers } = request
  const sent = plainRequest({ host: '127.0.0.1', port, method, path, headers, agent: false })
  request.pipe(sent)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }
}

function altered(text: string, alter: FrontDoor['alter']): string {
  const template = JSON.parse(text) as { readonly event: JsonRecord }
  return JSON.stringify({ ...template, event: alter(template.event) })
}
