/**
 * The two federation calls as HTTP: authentication, then the path, then the use case.
 * https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */
import type { KnockCalls } from '../knock/knock-calls.ts'
import { MARKER_HEADER, markersIn, type OriginalRequest } from '../knock/ports/homeserver.ts'
import { canonicalObject } from '../matrix/canonical-json.ts'
import { parseEventId, parseRoomId, parseUserId, type RoomId, type ServerName } from '../matrix/identifiers.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { ServerAcl } from '../matrix/server-acl.ts'
import type { ArrivingBody } from './arriving-body.ts'
import {
  type AuthenticationFailure,
  type AuthenticationPorts,
  findKeys,
  type KeyedClaim,
  type NotAuthentic,
  readClaim,
  type SignedParts,
  verify,
} from './authenticate.ts'
import { OWN_LACK } from './error-body.ts'
import { keepContent, NOT_WHOLE, readContent } from './knock-content.ts'
import type { Body } from './read-body.ts'
import { decodeSegment, type KnockTarget, readVersions } from './request-target.ts'

export interface KnockHandlerOptions {
  readonly ports: Omit<AuthenticationPorts, 'allowedServers'>
  /** What is asked once it is known who asks. */
  readonly knocks: KnockCalls
  /** Servers that the operator lets in at all. */
  readonly allowedServers: ServerAcl
  /** Longest wait for keys, in milliseconds. */
  readonly keyLookupMs: number
  /** Longest time for a request, in milliseconds. */
  readonly requestMs: number
  /** Told of each server that a request is proved to come from. Must cost next to nothing. */
  readonly heardFrom?: (origin: ServerName) => void
}

export interface KnockRequest {
  readonly target: KnockTarget
  readonly rawHeaders: readonly string[]
  /** The network of the address that it comes from. */
  readonly cause: string
}

/** The answer, and what became known on the way to it. */
export interface KnockAnswer {
  readonly outcome: { readonly ok: true; readonly body: string } | Refusal
  readonly origin: ServerName | undefined
  readonly room: RoomId | undefined
  readonly failure: AuthenticationFailure | undefined
  /** For the operator's log alone. */
  readonly detail: string | undefined
}

export interface KnockHandlers {
  makeKnock(request: KnockRequest): Promise<KnockAnswer>
  sendKnock(request: KnockRequest, body: ArrivingBody): Promise<KnockAnswer>
}

export function createKnockHandlers(options: KnockHandlerOptions): KnockHandlers {
  const { ports, knocks, allowedServers, keyLookupMs, requestMs, heardFrom } = options
  const { clock } = ports
  const authentication = { ...ports, allowedServers }

  /** Everything is given up a little before the request is, so that the answer says what was waited for. */
  const deadlineFrom = (start: number): number => start + Math.max(requestMs - ANSWER_MARGIN_MS, requestMs / 2)

  /** Who sent it, before anything is read of its body. @returns the answer where nobody is let in */
  async function keyed(request: KnockRequest): Promise<KeyedClaim | NotAuthentic> {
    const claim = readClaim(authentication, request.rawHeaders)
    if (!claim.ok) return claim
    return findKeys(authentication, claim, request.cause, clock() + Math.min(keyLookupMs, requestMs))
  }

  /** Checks the signatures over the whole request. @returns the answer where nobody is let in */
  async function refuseForged(claim: KeyedClaim, parts: SignedParts): Promise<KnockAnswer | undefined> {
    const checked = await verify(authentication, claim, parts)
    if (!checked.ok) return notAuthentic(checked)
    heardFrom?.(checked.origin)
    return undefined
  }

  return {
    async makeKnock(request) {
      const deadline = deadlineFrom(clock())
      const claim = await keyed(request)
      if (!claim.ok) return notAuthentic(claim)
      const { origin } = claim
      const forged = await refuseForged(claim, { method: 'GET', uri: request.target.uri })
      if (forged !== undefined) return forged
      const [first, second] = request.target.segments
      const roomId = readSegment(first, parseRoomId)
      const userId = readSegment(second, parseUserId)
      if (roomId === undefined) return refused(INVALID_ROOM_ID, origin)
      if (userId === undefined) return refused(INVALID_USER_ID, origin, roomId)
      const versions = readVersions(request.target.query)
      const original = originalOf('GET', request, undefined)
      const outcome = await knocks.makeKnock({ origin, roomId, userId, versions, deadline, original })
      if (!outcome.ok) return refused(outcome, origin, roomId)
      return accepted(JSON.stringify(outcome.template), origin, roomId)
    },

    async sendKnock(request, body) {
      const deadline = deadlineFrom(clock())
      const left = () => Math.min(deadline - clock(), requestMs)
      const claim = await keyed(request)
      if (!claim.ok) return notAuthentic(claim, await body.discard(left()))
      const { origin } = claim
      const content = await body.read(origin, left(), async (arrived) => {
        if (arrived.kind !== 'whole') return refused(NOT_WHOLE[arrived.kind], origin)
        const read = readContent(arrived.bytes)
        if (!read.ok) return refused(read, origin)
        const content = canonicalObject(read.members)
        const forged = await refuseForged(claim, { method: 'PUT', uri: request.target.uri, content })
        return forged ?? keepContent(read, arrived.bytes)
      })
      if (content === undefined) return notAuthentic({ ...NO_TURN, claimed: origin })
      if ('outcome' in content) return content
      const [first, second] = request.target.segments
      const roomId = readSegment(first, parseRoomId)
      const eventId = readSegment(second, parseEventId)
      if (roomId === undefined) return refused(INVALID_ROOM_ID, origin)
      if (eventId === undefined) return refused(INVALID_EVENT_ID, origin, roomId)
      const keyDeadline = Math.min(deadline, clock() + keyLookupMs)
      const original = originalOf('PUT', request, content.bytes)
      const submitted = {
        origin,
        roomId,
        eventId,
        body: content.object,
        members: content.members,
        keyDeadline,
        deadline,
        original,
      }
      const outcome = await knocks.sendKnock(submitted)
      return outcome.ok ? accepted(outcome.body, origin, roomId) : refused(outcome, origin, roomId)
    },
  }
}

/** Between the last that is waited for and the end of the request, in milliseconds. */
const ANSWER_MARGIN_MS = 500

const INVALID_ROOM_ID = refusal('M_INVALID_PARAM', 'The room id in the path is not valid', 'path: room id')
const INVALID_USER_ID = refusal('M_INVALID_PARAM', 'The user id in the path is not valid', 'path: user id')
const INVALID_EVENT_ID = refusal('M_INVALID_PARAM', 'The event id in the path is not valid', 'path: event id')

const NO_TURN = {
  ok: false,
  refusal: OWN_LACK,
  failure: 'own_lack',
  detail: 'too many request bodies at once',
} as const

function readSegment<Id>(segment: string, parse: (text: string) => Id | undefined): Id | undefined {
  const text = decodeSegment(segment)
  return text === undefined ? undefined : parse(text)
}

function originalOf(
  method: OriginalRequest['method'],
  { target, rawHeaders }: KnockRequest,
  body: Uint8Array | undefined,
): OriginalRequest {
  const lines = (name: string): readonly string[] =>
    rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name)
  const markers = lines(MARKER_HEADER).flatMap(markersIn)
  return { method, uri: target.uri, authorization: lines('authorization'), markers, body }
}

/** @param rest what became of the body that nobody wanted */
function notAuthentic({ refusal, failure, claimed, detail }: NotAuthentic, rest?: Body): KnockAnswer {
  // Whoever sent it: that is a matter of HTTP.
  if (rest?.kind === 'too large') return refused(NOT_WHOLE[rest.kind], claimed)
  return { outcome: refusal, origin: claimed, room: undefined, failure, detail }
}

function accepted(body: string, origin: ServerName, room: RoomId): KnockAnswer {
  return { outcome: { ok: true, body }, origin, room, failure: undefined, detail: undefined }
}

function refused(outcome: Refusal, origin: ServerName | undefined, room?: RoomId): KnockAnswer {
  return { outcome, origin, room, failure: undefined, detail: outcome.detail }
}
