/**
 * The federation listener: Fastify without its defaults that break federation. docs/architecture.md.
 * https://spec.matrix.org/latest/server-server-api/#api-standards
 */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { within } from '../concurrency/within.ts'
import { MARKER_HEADER, markersIn } from '../knock/ports/homeserver.ts'
import { networkOf } from '../matrix/ip-address.ts'
import type { Refusal } from '../matrix/refusal.ts'
import type { AddressLimit } from './address-limit.ts'
import type { AnsweredRequest, RequestObserver } from './answered-request.ts'
import { BODY_LIMIT, createArrivingBodies } from './arriving-body.ts'
import {
  errorBody,
  httpRefusal,
  INTERNAL_ERROR,
  JSON_TYPE,
  TOO_LATE,
  UNKNOWN_ENDPOINT,
  WRONG_METHOD,
} from './error-body.ts'
import { createFederationServer, type FederationServerOptions } from './federation-server.ts'
import { createKnockHandlers, type KnockAnswer, type KnockHandlerOptions, type KnockRequest } from './knock-handlers.ts'
import { discardBody } from './read-body.ts'
import { type KnockTarget, METHOD_OF, parseTarget } from './request-target.ts'

export interface FederationAppOptions extends KnockHandlerOptions, Pick<FederationServerOptions, 'tls'> {
  readonly observer: RequestObserver
  /** Networks of the proxies whose X-Forwarded-For is believed. */
  readonly trustProxy: readonly string[]
  readonly addressLimit: AddressLimit
  /** Value of the marker header of our own requests to the homeserver, where there is one. */
  readonly ownMarker: string | undefined
}

/** Carries the target from the matching of the route to the first hook. */
interface RoutedMessage extends IncomingMessage {
  target?: KnockTarget | undefined
}

/** What is known of a request when it is answered. */
interface Exchange {
  readonly target: KnockTarget | undefined
  refusal: Refusal | undefined
  answer: KnockAnswer | undefined
}

declare module 'fastify' {
  interface FastifyRequest {
    exchange: Exchange
  }
}

/** Builds the listener. It answers through `inject` at once, and through a socket once it listens. */
export async function createFederationApp(options: FederationAppOptions): Promise<FastifyInstance> {
  const { observer, requestMs, trustProxy, tls } = options
  const onRawRefusal = (refusal: Refusal): void => observer.answered(answeredWithoutRequest(refusal))
  const app = Fastify({
    serverFactory: (handler) => createFederationServer(handler, { requestMs, tls, onRawRefusal }),
    // Routes are matched here, on the raw path: the router would decode it before it compares.
    rewriteUrl: (message: RoutedMessage) => {
      message.target = parseTarget(message.url ?? '')
      return routeOf(message.target, message.method)
    },
    bodyLimit: BODY_LIMIT,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    trustProxy: trustProxy.length > 0 ? [...trustProxy] : false,
    routerOptions: { maxParamLength: 1024 },
    frameworkErrors: answerFrameworkError,
    schemaController: { compilersFactory: NO_SCHEMAS },
  })
  app.decorateRequest('exchange')
  app.removeAllContentTypeParsers()
  // Nothing of a body is read until it is known who sends it. Where nobody will ask, it is read so that the answer arrives.
  app.addContentTypeParser('*', async (request: FastifyRequest, payload: Readable) => {
    if (request.is404) await discardBody(payload, BODY_LIMIT, requestMs)
  })
  addHooks(app, options)
  if (trustProxy.length > 0) {
    const { limitPerAddress } = await import('./address-limit.ts')
    await limitPerAddress(app, options.addressLimit)
  }
  addRoutes(app, options)
  await app.ready()
  return app
}

/** Compilers for schemas, which Fastify would load otherwise. No route has one. */
const NO_SCHEMAS = { buildValidator: noSchema, buildSerializer: noSchema }

function noSchema(): never {
  throw new Error('a route has a schema, and there is nothing to compile it')
}

function routeOf(target: KnockTarget | undefined, method: string | undefined): string {
  return target !== undefined && method === METHOD_OF[target.route] ? `/${target.route}` : '/other'
}

/** The router itself is never given anything that it could refuse; should it refuse all the same, it is in our shape. */
function answerFrameworkError(_error: Error, _request: unknown, reply: Pick<FastifyReply, 'raw'>): void {
  const refused = httpRefusal(400)
  reply.raw.writeHead(refused.status, { 'content-type': JSON_TYPE }).end(errorBody(refused))
}

function addHooks(app: FastifyInstance, { observer, ownMarker }: FederationAppOptions): void {
  app.addHook('onRequest', (request, reply, done) => {
    request.exchange = { target: (request.raw as RoutedMessage).target, refusal: undefined, answer: undefined }
    const { headers, httpVersionMinor } = request.raw
    // Any type will do, and none: Fastify answers 415 to what it cannot read before a parser is asked.
    if (request.method !== 'GET') headers['content-type'] = 'application/octet-stream'
    // https://www.rfc-editor.org/rfc/rfc9112#section-3.2
    if (headers.host === undefined && httpVersionMinor > 0) reply.send(refuse(request, reply, httpRefusal(400)))
    else if (ownMarker !== undefined && cameBack(ownMarker, headers[MARKER_HEADER], reply)) {
      observer.cameBack()
      reply.send(refuse(request, reply, INTERNAL_ERROR))
    } else done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    observer.answered(answeredRequest(request, reply))
    done()
  })
  app.setErrorHandler((error: { statusCode?: number }, request, reply) => {
    const { statusCode = 500 } = error
    if (statusCode >= 500) observer.failed(error)
    return refuse(request, reply, httpRefusal(statusCode))
  })
  app.setNotFoundHandler((request, reply) => {
    const { target } = request.exchange
    if (target !== undefined) reply.header('allow', METHOD_OF[target.route])
    reply.send(refuse(request, reply, target === undefined ? UNKNOWN_ENDPOINT : WRONG_METHOD))
  })
}

/**
 * Whether a request is ours. Whoever marks one sees by the answer that it came here: `doctor` is a process of its own, whose
 * marker nobody knows.
 */
function cameBack(own: string, header: string | readonly string[] | undefined, reply: FastifyReply): boolean {
  const [first, ...more] = markersIn(header?.toString())
  if (first !== undefined && more.length === 0) reply.header(MARKER_HEADER, first)
  return first === own || more.includes(own)
}

function addRoutes(app: FastifyInstance, options: FederationAppOptions): void {
  const { requestMs } = options
  const handlers = createKnockHandlers(options)
  const bodies = createArrivingBodies()
  app.get('/make_knock', async (request, reply) => {
    return answer(request, reply, await within(requestMs, handlers.makeKnock(knockRequest(request))))
  })
  app.put('/send_knock', async (request, reply) => {
    const knock = knockRequest(request)
    const work = handlers.sendKnock(knock, bodies(request.raw, knock.cause))
    return answer(request, reply, await within(requestMs, work))
  })
}

/** The route has matched, so there is a target. */
function knockRequest({ exchange, raw, ip }: FastifyRequest): KnockRequest {
  if (exchange.target === undefined) throw new Error('a knock route without its target')
  // A client that went away in the middle of its request has no address any more.
  return { target: exchange.target, rawHeaders: raw.rawHeaders, cause: networkOf(ip ?? '') }
}

/** @param done undefined where it took too long @returns the body to send */
function answer(request: FastifyRequest, reply: FastifyReply, done: KnockAnswer | undefined): string {
  // What was not read to its end cannot be followed by another request.
  if (!request.raw.complete) reply.header('connection', 'close')
  if (done === undefined) return refuse(request, reply, TOO_LATE)
  request.exchange.answer = done
  if (!done.outcome.ok) return refuse(request, reply, done.outcome)
  reply.header('content-type', JSON_TYPE)
  return done.outcome.body
}

/** @returns the body to send */
function refuse(request: FastifyRequest, reply: FastifyReply, refusal: Refusal): string {
  request.exchange.refusal = refusal
  reply.code(refusal.status).header('content-type', JSON_TYPE)
  if (refusal.status === 401) reply.header('www-authenticate', refusal.challenge ?? 'X-Matrix')
  return errorBody(refusal)
}

function answeredRequest({ exchange, method }: FastifyRequest, reply: FastifyReply): AnsweredRequest {
  const { target, refusal, answer: known } = exchange
  return {
    method,
    route: target?.route ?? 'other',
    status: reply.statusCode,
    errcode: refusal?.errcode,
    rule: refusal?.rule,
    origin: known?.origin,
    room: known?.room,
    failure: known?.failure,
    detail: known?.detail,
    milliseconds: reply.elapsedTime,
  }
}

function answeredWithoutRequest({ status, errcode, rule }: Refusal): AnsweredRequest {
  const unknown = { origin: undefined, room: undefined, failure: undefined, detail: undefined }
  return { method: '', route: 'other', status, errcode, rule, ...unknown, milliseconds: 0 }
}
