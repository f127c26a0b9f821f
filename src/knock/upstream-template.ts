/**
 * The event template that the homeserver's own `make_knock` gives, read as strictly as a knocking server should: it is for
 * this knock or it is none.
 * https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1make_knockroomiduserid
 */
import { canonicalJson } from '../matrix/canonical-json.ts'
import { MAX_PDU_BYTES } from '../matrix/event-format.ts'
import type { RoomId, UserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import { without } from '../matrix/signed-json.ts'
import type { OriginalRequest, Upstream } from './ports/homeserver.ts'
import { notAvailable, outOfOrder } from './room-checks.ts'

/** What a template is asked for. */
export interface TemplateQuestion {
  readonly roomId: RoomId
  readonly userId: UserId
  /** The request as it came. */
  readonly original: OriginalRequest
  /** Absolute time in milliseconds after which the homeserver is no longer waited for. */
  readonly deadline: number
}

export interface UpstreamTemplate {
  readonly ok: true
  readonly roomVersion: string
  readonly event: JsonObject
}

/** Some homeservers sign templates. The remote would carry that into its event, where it is worth nothing. */
const NOT_GIVEN_ON = ['event_id', 'hashes', 'signatures', 'unsigned'] as const

/** Asks the homeserver. @returns its template, its refusal, or ours where it gives no answer or none that makes sense */
export async function askForTemplate(
  upstream: Upstream,
  question: TemplateQuestion,
): Promise<UpstreamTemplate | Refusal> {
  const answer = await upstream.passOn(question.original, question.deadline)
  if (answer.kind === 'refused') return answer.refusal
  if (answer.kind === 'unknown') return notAvailable('homeserver: template', answer.reason)
  if (answer.kind === 'out of order') return outOfOrder('homeserver: template', answer.reason)
  const { room_version: roomVersion, event } = answer.body ?? {}
  if (typeof roomVersion !== 'string') return noTemplate('it names no room_version')
  if (!isJsonObject(event)) return noTemplate('it has no event')
  const flaw = flawOf(event, question)
  if (flaw !== undefined) return noTemplate(flaw)
  return { ok: true, roomVersion, event: without(event, NOT_GIVEN_ON) }
}

function flawOf(event: JsonObject, { roomId, userId }: TemplateQuestion): string | undefined {
  const { type, room_id: room, sender, state_key: stateKey, content } = event
  if (type !== 'm.room.member') return 'its event is no m.room.member'
  if (!isJsonObject(content) || content.membership !== 'knock') return 'its event is no knock'
  if (room !== roomId) return 'its event is for another room'
  if (sender !== userId || stateKey !== userId) return 'its event is for another user'
  return canonicalJson(event).length > MAX_PDU_BYTES ? 'its event is larger than an event may be' : undefined
}

/** @param flaw for the operator */
export function noTemplate(flaw: string): Refusal {
  const refused = refusal('M_FORBIDDEN', 'The homeserver gives no template for this knock', 'template: the homeserver')
  return { ...refused, detail: `make_knock answers 200, but ${flaw}` }
}
