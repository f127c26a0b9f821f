/**
 * Answers that Node would give by itself, before any route is known, in Matrix shape: to what is not HTTP, comes too late
 * or expects the unknown. https://spec.matrix.org/latest/client-server-api/#standard-error-response
 */
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Refusal } from '../matrix/refusal.ts'
import { errorBody, httpRefusal, JSON_TYPE, WRONG_METHOD } from './error-body.ts'

/** How long a client has to read the answer before its connection is cut, in milliseconds. */
const LINGER_MS = 2_000

const STATUS_OF: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

/** @param onAnswered told about each refusal that was sent without a route */
export function answerInMatrixShape(server: Server, onAnswered: (refusal: Refusal) => void): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // The rest of what could not be read is no new mistake: the answer is on its way.
    if (socket.writableEnded) return
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const refused = httpRefusal(STATUS_OF[error.code ?? ''] ?? 400)
    onAnswered(refused)
    endWith(socket, refused)
  })
  server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const refused = httpRefusal(417)
    onAnswered(refused)
    response.writeHead(refused.status, { 'content-type': JSON_TYPE, connection: 'close' }).end(errorBody(refused))
  })
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    onAnswered(WRONG_METHOD)
    endWith(socket, WRONG_METHOD)
  })
}

function endWith(socket: Duplex, refused: Refusal): void {
  const body = errorBody(refused)
  const head = [
    `HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status] ?? ''}`,
    `content-type: ${JSON_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.on('error', () => socket.destroy())
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  // Unread input at the moment of closing would make the system reset the connection, and the answer would be lost.
  socket.resume()
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}
