/**
 * `send_knock` where no room can be read: the knock is checked as far as it speaks for itself, and given to the homeserver,
 * which decides by the room's rules. Its 200 is ours.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1send_knockroomideventid
 */
import { contentHashHolds } from '../../matrix/event-hashes.ts'
import { parseUserId } from '../../matrix/identifiers.ts'
import type { Refusal } from '../../matrix/refusal.ts'
import type { Acceptance } from '../decision.ts'
import { checkSubmittedKnock, type Submission, type SubmittedKnock, WRONG_EVENT_ID } from '../knock-event.ts'
import { refuseUnsigned } from '../knock-signatures.ts'
import { TAKING } from '../landing.ts'
import type { UpstreamAnswer } from '../ports/homeserver.ts'
import { outOfOrder, unknownOutcome } from '../room-checks.ts'
import type { SendKnockAnswer, SendKnockRequest } from '../send-knock.ts'
import { type PassOnPorts, recordPassedOn } from './ports.ts'
import { type SeenVersions, TELLING_VERSIONS } from './seen-versions.ts'

interface Taken extends SendKnockAnswer, Acceptance {}

/** Answers one authenticated send_knock. A 200 means that the homeserver has answered 200. */
export async function passOnSendKnock(
  ports: PassOnPorts,
  request: SendKnockRequest,
): Promise<SendKnockAnswer | Refusal> {
  const { origin, roomId, eventId, body } = request
  const outcome = await decide(ports, request)
  const userId = typeof body.sender === 'string' ? parseUserId(body.sender) : undefined
  if (userId !== undefined) {
    const asked = { endpoint: 'send_knock', origin, roomId, userId, eventId } as const
    recordPassedOn(ports, asked, outcome, ports.versions.of(roomId))
  }
  return outcome.ok ? { ok: true, body: outcome.body } : outcome
}

async function decide(ports: PassOnPorts, request: SendKnockRequest): Promise<Taken | Refusal> {
  const { origin, roomId, original, deadline } = request
  const knock = checkInItsVersion(ports.versions, request)
  if (!knock.ok) return knock
  const unsigned = await refuseUnsigned(ports, knock, request.keyDeadline)
  if (unsigned !== undefined) return unsigned
  const reserved = ports.limits.reserve({ origin, userId: knock.sender, roomId }, knock.eventId)
  if (!reserved.ok) return reserved
  const outcome = takenBy(await ports.upstream.passOn(original, deadline), knock)
  if (!outcome.ok) reserved.release()
  return outcome
}

/**
 * The knock in the version of its room. Where nobody has named that, it is the one in which the event has the id of the
 * path: the id is the hash of what is signed, so the versions that agree on it agree on the signature.
 */
function checkInItsVersion(versions: SeenVersions, submission: Submission): SubmittedKnock | Refusal {
  const seen = versions.of(submission.roomId)
  for (const version of seen === undefined ? TELLING_VERSIONS : [seen]) {
    const knock = checkSubmittedKnock(submission, version)
    if (knock !== WRONG_EVENT_ID) return knock
  }
  return WRONG_EVENT_ID
}

/** What its answer means for the remote. */
function takenBy(answer: UpstreamAnswer, { pdu }: SubmittedKnock): Taken | Refusal {
  if (answer.kind === 'refused') return answer.refusal
  if (answer.kind === 'unknown') return unknownOutcome(TAKING, answer.reason)
  if (answer.kind === 'out of order') return outOfOrder(TAKING, answer.reason)
  const body = Array.isArray(answer.body?.knock_room_state) ? JSON.stringify(answer.body) : ''
  if (body === '') return unknownOutcome(TAKING, 'send_knock answers 200, but without a list knock_room_state')
  if (Buffer.byteLength(body) > MAX_BODY_BYTES) {
    return unknownOutcome(TAKING, `send_knock answers 200 with more than ${MAX_BODY_BYTES} bytes`)
  }
  return { ok: true, body, rule: 'handover: the homeserver', reason: contentHashHolds(pdu) ? LEFT : LEFT_REDACTED }
}

/** Twice what the events that belong there can have together. */
const MAX_BODY_BYTES = 2 * 1024 * 1024
const LEFT = 'accepted by the homeserver, to which the rules of the room are left: there is no signing key'
const LEFT_REDACTED = `${LEFT}; the content hash is wrong: it counts in its redacted form`
