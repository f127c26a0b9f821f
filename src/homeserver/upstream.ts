/**
 * The homeserver's own knocking: requests of other servers are sent on to it byte for byte, and its refusals are passed on.
 * https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */
import type { OriginalRequest, Upstream, UpstreamAnswer } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { JsonObject } from '../matrix/json.ts'
import { type ErrorCode, type Refusal, refusal } from '../matrix/refusal.ts'
import type { HomeserverAnswer, HomeserverClient } from './homeserver-client.ts'
import type { Liveness } from './liveness.ts'

export interface UpstreamOptions {
  readonly client: Pick<HomeserverClient, 'forward'>
  readonly clock: Clock
  /** Longest wait for its answer, in milliseconds. */
  readonly withinMs: number
}

export function createUpstream({ client, clock, withinMs }: UpstreamOptions): Upstream {
  return {
    async passOn(original, deadline) {
      const answer = await client.forward(original, Math.min(deadline, clock() + withinMs))
      if (answer.kind === 'failed') return { kind: 'unknown', reason: `${CALL[original.method]}: ${answer.reason}` }
      return answer.status === 200 ? { kind: 'answered', body: answer.body } : refusedBy(answer, original)
    },
  }
}

/** The same, which tells a request without an answer from a homeserver that gives none at all. */
export function blamingUpstream(upstream: Upstream, liveness: Liveness): Upstream {
  return { passOn: (original, deadline) => liveness.blame(deadline, () => upstream.passOn(original, deadline)) }
}

const CALL: Readonly<Record<OriginalRequest['method'], string>> = { GET: 'make_knock', PUT: 'send_knock' }
const RULE: Readonly<Record<OriginalRequest['method'], string>> = {
  GET: 'template: the homeserver',
  PUT: 'handover: the homeserver',
}

/** What is passed on of a homeserver's refusal; what it says of itself (401, 429, 5xx) is not the remote's affair. */
function refusedBy(
  { status, body }: Extract<HomeserverAnswer, { kind: 'answered' }>,
  { method }: OriginalRequest,
): UpstreamAnswer {
  const call = CALL[method]
  if (body?.errcode === 'M_UNRECOGNIZED') return { kind: 'unknown', reason: withoutKnocking(call) }
  if (status < 400 || status >= 500 || status === 401 || status === 429) {
    return { kind: 'unknown', reason: `${call} answers ${status}` }
  }
  return { kind: 'refused', refusal: passedOn(status, body, RULE[method]) }
}

function withoutKnocking(call: string): string {
  return `the homeserver has no ${call}: homeserver.handover must be inject`
}

const PASSED_ON: readonly ErrorCode[] = [
  'M_BAD_JSON',
  'M_FORBIDDEN',
  'M_INCOMPATIBLE_ROOM_VERSION',
  'M_INVALID_PARAM',
  'M_MISSING_PARAM',
  'M_NOT_FOUND',
  'M_NOT_JSON',
  'M_TOO_LARGE',
]
const MAX_ERROR_LENGTH = 500
/** https://spec.matrix.org/latest/rooms/#room-version-grammar */
const ROOM_VERSION = /^[a-z0-9.-]{1,32}$/

function passedOn(status: number, { errcode, error, room_version: version }: JsonObject = {}, rule: string): Refusal {
  const code = PASSED_ON.find((known) => known === errcode) ?? 'M_FORBIDDEN'
  const text = typeof error === 'string' ? error.slice(0, MAX_ERROR_LENGTH) : 'The homeserver refused the knock'
  const names = code === 'M_INCOMPATIBLE_ROOM_VERSION' && typeof version === 'string' && ROOM_VERSION.test(version)
  return { ...refusal(code, text, rule, names ? { room_version: version } : undefined), status }
}
