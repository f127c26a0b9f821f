/** Plain requests to loopback: what is given is what goes on the wire, and answers are read whole. */
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { request as requestTls } from 'node:https'
import { connect } from 'node:net'
import type { JsonRecord } from './signing.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body, where it is a JSON object; else empty. */
  readonly body: JsonRecord
}

export interface PlainRequest {
  readonly method: string
  /** The raw request target. */
  readonly path: string
  /** Name, value, name, value: a name can be there twice. */
  readonly headers?: readonly string[]
  readonly body?: string | Uint8Array
}

const TIMEOUT_MS = 40_000

/**
 * Sends one request to 127.0.0.1 and reads the answer.
 * @param ca for TLS: the authority to trust, PEM
 */
export async function exchange(
  port: number,
  { method, path, headers = [], body }: PlainRequest,
  ca?: string,
): Promise<Answer> {
  const length = body === undefined ? [] : ['content-length', String(Buffer.byteLength(body))]
  const sent = (ca === undefined ? request : requestTls)({
    host: '127.0.0.1',
    port,
    method,
    path,
    agent: false,
    headers: ['host', `127.0.0.1:${port}`, ...headers, ...length],
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(ca !== undefined && { ca }),
  })
  const answered = once(sent, 'response')
  sent.end(body)
  const [response] = await answered
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  return { status: response.statusCode ?? 0, headers: response.headers, text, body: jsonObject(text) }
}

/** Sends bytes as they are and reads until the other side closes. The request must ask for that. */
export async function exchangeBytes(port: number, bytes: string | Uint8Array): Promise<Answer> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy())
  socket.on('data', (chunk) => chunks.push(chunk))
  // A server that has answered may close while there is still something to send to it.
  socket.on('error', () => undefined)
  socket.write(bytes)
  await new Promise((resolve) => socket.once('close', resolve))
  const [head = '', ...rest] = Buffer.concat(chunks).toString().split('\r\n\r\n')
  const payload = rest.join('\r\n\r\n')
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  const text = headers['transfer-encoding'] === 'chunked' ? unchunked(payload) : payload
  return { status: Number(statusLine.split(' ')[1]), headers, text, body: jsonObject(text) }
}

function unchunked(payload: string): string {
  const size = Number.parseInt(payload, 16)
  const start = payload.indexOf('\r\n') + 2
  return size > 0 ? payload.slice(start, start + size) + unchunked(payload.slice(start + size + 2)) : ''
}

function jsonObject(text: string): JsonRecord {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonRecord) : {}
  } catch {
    return {}
  }
}
