/** An HTTP server on loopback that notes requests as they came: target and headers untouched, line by line. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Recorded {
  readonly method: string
  /** The request target as it stands in the request line. */
  readonly target: string
  /** The values of a header, one for each of its lines. @param name in lower case */
  header(name: string): readonly string[]
  readonly body: Buffer
}

export interface Recorder {
  readonly port: number
  readonly requests: Recorded[]
  /** Answers the next requests; 200 with the recorder's name where nothing is set. */
  answer: (response: ServerResponse) => void
  /** Forgets requests, and answers as at first. */
  reset(): void
  close(): Promise<void>
}

/** @param name stands in its answers @param port that it had before; a free one where it is left out */
export async function startRecorder(name: string, port = 0): Promise<Recorder> {
  const server = createServer()
  await once(server.listen(port, '127.0.0.1'), 'listening')
  const usual = (response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(`{"from":"${name}"}`)
  }
  const recorder: Recorder = {
    port: (server.address() as AddressInfo).port,
    requests: [],
    answer: usual,
    reset() {
      recorder.requests.length = 0
      recorder.answer = usual
    },
    async close() {
      if (!server.listening) return
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  server.on('request', async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    recorder.requests.push(recorded(request, Buffer.concat(chunks)))
    recorder.answer(response)
  })
  return recorder
}

function recorded({ method = '', url: target = '', rawHeaders }: IncomingMessage, body: Buffer): Recorded {
  const lines = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [[name.toLowerCase(), rawHeaders[index + 1] ?? ''] as const] : [],
  )
  const header = (wanted: string): readonly string[] =>
    lines.filter(([name]) => name === wanted).map(([, value]) => value)
  return { method, target, header, body }
}
