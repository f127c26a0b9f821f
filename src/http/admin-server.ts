/**
 * The admin listener: /health says that the process runs, /ready that it can serve, /metrics what it has done. It is for
 * the operator's network alone, and for no page in a browser there.
 */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { Refusal } from '../matrix/refusal.ts'
import { createAdminDoor } from './admin-door.ts'
import { errorBody, INTERNAL_ERROR, JSON_TYPE, UNKNOWN_ENDPOINT, WRONG_METHOD } from './error-body.ts'

export interface AdminPorts {
  /** Why the service cannot serve now; empty where it can. */
  notReady(): Promise<readonly string[]>
  /** The text of the metrics. */
  metrics(): Promise<string>
  readonly metricsType: string
  /** A bug: the caller was told 500 and nothing more. */
  failed(error: unknown): void
}

const REQUEST_MS = 10_000

/** @param names by which it may be asked, beside addresses and `localhost` */
export function createAdminServer(ports: AdminPorts, names: readonly string[] = []): Server {
  const refusedBy = createAdminDoor(names)
  const routes: Readonly<Record<string, () => Promise<Answer>>> = {
    '/health': async () => ({ status: 200, type: JSON_TYPE, body: '{"status":"ok"}' }),
    '/ready': async () => {
      const reasons = await ports.notReady()
      const status = reasons.length === 0 ? 'ready' : 'not ready'
      const body = JSON.stringify(reasons.length === 0 ? { status } : { status, reasons })
      return { status: reasons.length === 0 ? 200 : 503, type: JSON_TYPE, body }
    },
    '/metrics': async () => ({ status: 200, type: ports.metricsType, body: await ports.metrics() }),
  }
  const server = createServer({ requestTimeout: REQUEST_MS }, (request, response) => {
    const refused = refusedBy(request.headers)
    if (refused !== undefined) return send(response, asAnswer(refused))
    const [path = ''] = (request.url ?? '').split('?')
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined
    if (route === undefined) return send(response, asAnswer(UNKNOWN_ENDPOINT))
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, asAnswer(WRONG_METHOD))
    route().then(
      (answer) => send(response, answer),
      (error) => {
        ports.failed(error)
        send(response, asAnswer(INTERNAL_ERROR))
      },
    )
  })
  server.setTimeout(2 * REQUEST_MS)
  return server
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

function asAnswer(refused: Refusal): Answer {
  return { status: refused.status, type: JSON_TYPE, body: errorBody(refused) }
}

function send(response: ServerResponse, { status, type, body }: Answer): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
}
