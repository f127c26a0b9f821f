/** The HTTP server under the federation listener, with bounds on time and Matrix answers where Node has its own. */
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Refusal } from '../matrix/refusal.ts'
import { answerInMatrixShape } from './raw-answers.ts'

export interface FederationServerOptions {
  /** Longest time for a request to arrive, and for its answer, in milliseconds. */
  readonly requestMs: number
  /** Certificate chain and key, PEM, for HTTPS. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  /** Told about refusals that were sent before there was a request. */
  readonly onRawRefusal: (refusal: Refusal) => void
}

/** Longer than the usual keep-alive time of proxies, so that it is they who close. */
const KEEP_ALIVE_MS = 75_000
/** Connections that are silent for this much longer than a request may take are cut. */
const SILENCE_MS = 10_000
const MOST_BETWEEN_CHECKS_MS = 5_000

export function createFederationServer(handler: RequestListener, options: FederationServerOptions): Server {
  const { requestMs, tls, onRawRefusal } = options
  const settings: ServerOptions = {
    requireHostHeader: false,
    requestTimeout: requestMs,
    headersTimeout: requestMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(MOST_BETWEEN_CHECKS_MS, requestMs),
  }
  const server =
    tls === undefined ? createHttpServer(settings, handler) : createHttpsServer({ ...settings, ...tls }, handler)
  server.setTimeout(requestMs + SILENCE_MS)
  answerInMatrixShape(server, onRawRefusal)
  return server
}
