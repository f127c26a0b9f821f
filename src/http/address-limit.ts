/**
 * The limit per address, before authentication. It counts only addresses that came through a trusted proxy: behind one
 * that is not declared all remotes share an address, and a 429 makes a remote back off from the whole homeserver.
 */
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import { TOO_MANY_REQUESTS } from './error-body.ts'
import { readForwardedFor } from './forwarded-for.ts'

export interface AddressLimit {
  readonly perSecond: number
  readonly burst: number
}

/** Addresses that are counted at a time; an IPv6 network of a subscriber (/64) counts as one. */
const MAX_ADDRESSES = 20_000
const IPV6_PREFIX = 64

/** Thrown into the error handler, which answers it. */
export class TooManyRequests extends Error {
  readonly statusCode = TOO_MANY_REQUESTS.status
}

/** Lets each address have `burst` requests in the time in which `perSecond` makes as many. */
export async function limitPerAddress(app: FastifyInstance, { perSecond, burst }: AddressLimit): Promise<void> {
  // A client that went away in the middle of its request has no address any more, and reads no answer.
  app.addHook('onRequest', (request, reply, done) => {
    const { headers } = request.raw
    const forwardedFor = headers['x-forwarded-for']
    // Node has joined its lines. The address that counts is read from the header anew whenever it is asked for.
    if (typeof forwardedFor === 'string') headers['x-forwarded-for'] = readForwardedFor(forwardedFor)
    if (request.ip === undefined) reply.hijack()
    else done()
  })
  const silent = { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false }
  await app.register(rateLimit, {
    max: burst,
    timeWindow: Math.ceil((burst * 1000) / perSecond),
    cache: MAX_ADDRESSES,
    ipv6Subnet: IPV6_PREFIX,
    allowList: (request) => (request.ips?.length ?? 0) < 2,
    addHeaders: silent,
    addHeadersOnExceeding: silent,
    errorResponseBuilder: () => new TooManyRequests(TOO_MANY_REQUESTS.error),
  })
}
