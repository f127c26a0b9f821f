/** Requests to a base URL, plain or with TLS, signed by a server where that is asked for; answers are read whole. */
import { once } from 'node:events'
import { type IncomingMessage, request as plainRequest } from 'node:http'
import { request as tlsRequest } from 'node:https'
import type { Answer } from '../../support/http-client.ts'
import { authorization, canonical, type Identity, type Json, type JsonRecord } from '../../support/signing.ts'

/** Where requests go. */
export interface Endpoint {
  /** Scheme, host and port: `https://127.0.0.2:8448`. */
  readonly url: string
  /** The authority to trust, PEM; for https. */
  readonly ca?: string
}

const TIMEOUT_MS = 60_000

/**
 * Sends one request.
 * @param path the raw request target
 * @throws Error where no answer comes within 60 s
 */
export async function send(
  endpoint: Endpoint,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: string | Uint8Array,
): Promise<Answer> {
  const { protocol, hostname, port, host } = new URL(endpoint.url)
  const sent = (protocol === 'https:' ? tlsRequest : plainRequest)({
    hostname,
    port,
    method,
    path,
    agent: false,
    headers: { host, ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(endpoint.ca !== undefined && { ca: endpoint.ca }),
  })
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>
  sent.end(body)
  const [response] = await answered
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  return { status: response.statusCode ?? 0, headers: response.headers, text, body: objectOf(text) }
}

/** Sends a request in the name of a server, signed with its key. */
export function sendSigned(
  endpoint: Endpoint,
  origin: Identity,
  destination: string,
  method: string,
  path: string,
  content?: Json,
): Promise<Answer> {
  const request = { method, uri: path, destination, ...(content !== undefined && { content }) }
  const body = content === undefined ? undefined : canonical(content)
  return send(endpoint, method, path, { authorization: authorization(origin, request) }, body)
}

function objectOf(text: string): JsonRecord {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonRecord) : {}
  } catch {
    return {}
  }
}
