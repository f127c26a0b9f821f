/** An HTTPS server on loopback that notes how it was reached: path, Host header and the name that TLS was asked for. */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Certificate } from './certificates.ts'

export interface Visit {
  readonly method: string
  readonly path: string
  readonly host: string | undefined
  /** false where the client named nobody. */
  readonly servername: string | false
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface TlsServer {
  readonly port: number
  readonly visits: Visit[]
  /** TLS handshakes that were completed. */
  connections: number
  /** Answers the next requests; 404 where nothing is set. */
  answer: (visit: Visit, response: ServerResponse) => void
  /** Answers the next requests before their bodies are read, where it is set. */
  answerHead?: (response: ServerResponse) => void
  close(): Promise<void>
}

export async function startTlsServer(certificate: Certificate, port = 0, host = '127.0.0.1'): Promise<TlsServer> {
  const server = createServer(certificate)
  await once(server.listen(port, host), 'listening')
  const started: TlsServer = {
    port: (server.address() as AddressInfo).port,
    visits: [],
    connections: 0,
    answer: (_visit, response) => response.writeHead(404).end(),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  server.on('secureConnection', () => {
    started.connections++
  })
  server.on('request', async (request, response) => {
    if (started.answerHead !== undefined) return started.answerHead(response)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url: path = '', headers } = request
    const servername = (request.socket as TLSSocket & { servername?: string | false }).servername ?? false
    const visit = { method, path, host: headers.host, servername, headers, body: Buffer.concat(chunks).toString() }
    started.visits.push(visit)
    started.answer(visit, response)
  })
  return started
}
