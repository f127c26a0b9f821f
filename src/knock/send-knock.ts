/**
 * `send_knock`: checks a signed knock, records it, and answers with what the knocker may see of the room.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1send_knockroomideventid
 */
import { membershipOf } from '../matrix/auth/knock-rules.ts'
import { parseUserId, type UserId } from '../matrix/identifiers.ts'
import { authEventIds, prevEventIds, type RoomEvent } from '../matrix/pdu.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { type Authorisation, authoriseInRoom } from './auth-passes.ts'
import { type AskedFor, decisionFacts, decisionOf } from './decision.ts'
import { eventToKeep } from './event-to-keep.ts'
import { checkSubmittedKnock, type Submission } from './knock-event.ts'
import type { KnockPorts } from './knock-ports.ts'
import { checkKnockSignatures, type KnockSignatures } from './knock-signatures.ts'
import { notRecorded } from './landing.ts'
import type { OriginalRequest } from './ports/homeserver.ts'
import type { KnockAttempt, KnockContext } from './ports/rooms.ts'
import { recordKnock } from './record-knock.ts'
import { checkServer, type KnockableRoom, refusePolicyServer, requireKnockableVersion } from './room-checks.ts'
import type { RoomFacts } from './room-facts.ts'

export interface SendKnockRequest extends Submission {
  /** Absolute time in milliseconds after which keys are no longer waited for. */
  readonly keyDeadline: number
  /** Absolute time in milliseconds after which the homeserver is no longer waited for. */
  readonly deadline: number
  /** The request as it came, where it may have to be sent on. */
  readonly original: OriginalRequest
}

export interface SendKnockAnswer {
  readonly ok: true
  /** The whole response body, serialised. */
  readonly body: string
}

/** What was decided, and the room as the decision saw it; undefined where it could not be looked into. */
interface Decided {
  readonly outcome: SendKnockAnswer | Refusal
  readonly room: KnockableRoom | undefined
}

/** A knock that is what it says and comes from whom it says: only the room's rules are left to ask. */
interface AuthenticKnock {
  readonly ok: true
  readonly version: RoomVersion
  readonly sender: UserId
  /** The copy that is judged, recorded, handed over and delivered. */
  readonly event: RoomEvent
  readonly signatures: KnockSignatures
}

/** How often a decision is taken anew because the room changed between reading and writing. */
const MAX_ROUNDS = 16

/**
 * Answers one authenticated send_knock. A 200 means that the knock is recorded and will be delivered; a refusal is recorded
 * where the body names a user.
 */
export async function sendKnock(ports: KnockPorts, request: SendKnockRequest): Promise<SendKnockAnswer | Refusal> {
  const userId = typeof request.body.sender === 'string' ? parseUserId(request.body.sender) : undefined
  const { outcome, room } = await decide(ports, request, userId)
  if (!outcome.ok && userId !== undefined) {
    const asked = askedFor(request, userId)
    ports.store.recordDecision(decisionOf(asked, outcome, decisionFacts(room), ports.clock()))
  }
  return outcome
}

/** @param userId looks at the room, which says in which format the event names its sender */
async function decide(ports: KnockPorts, request: SendKnockRequest, userId: UserId | undefined): Promise<Decided> {
  const room = await openRoom(ports, request, userId)
  if (!room.ok) return { outcome: room, room: undefined }
  const knock = await checkKnock(ports, request, room)
  if (!knock.ok) return { outcome: knock, room }
  return takeIn(ports, request, knock, room)
}

async function openRoom(
  { rooms }: KnockPorts,
  { roomId, origin, deadline }: SendKnockRequest,
  userId: UserId | undefined,
): Promise<KnockableRoom | Refusal> {
  return checkServer(await rooms.open(roomId, userId, { origin, deadline }), origin)
}

/** What the knock says of itself, whatever the rules of the room. */
async function checkKnock(
  ports: KnockPorts,
  request: SendKnockRequest,
  { head }: KnockableRoom,
): Promise<AuthenticKnock | Refusal> {
  const knockable = requireKnockableVersion(head)
  if (!knockable.ok) return knockable
  const { version } = knockable
  const knock = checkSubmittedKnock(request, version)
  if (!knock.ok) return knock
  const signatures = await checkKnockSignatures(ports, knock, version, request.keyDeadline)
  if (!signatures.ok) return signatures
  return { ok: true, version, sender: knock.sender, event: eventToKeep(knock, version), signatures }
}

/** Judges by the room's rules and writes; where the room changed in between, looks again. */
async function takeIn(
  ports: KnockPorts,
  request: SendKnockRequest,
  knock: AuthenticKnock,
  opened: KnockableRoom,
): Promise<Decided> {
  let room = opened
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const outcome = await takeInOnce(ports, request, knock, room)
    if (outcome !== 'overtaken') return { outcome, room }
    const again = await openRoom(ports, request, knock.sender)
    if (!again.ok) return { outcome: again, room: undefined }
    room = again
  }
  return { outcome: CHANGES_TOO_FAST, room: opened }
}

const CHANGES_TOO_FAST = refusal('M_NOT_FOUND', 'The room is changing too fast, try again', 'recording the knock')

async function takeInOnce(
  ports: KnockPorts,
  request: SendKnockRequest,
  knock: AuthenticKnock,
  room: KnockableRoom,
): Promise<SendKnockAnswer | Refusal | 'overtaken'> {
  const { roomId, origin, deadline, original } = request
  const { facts } = room
  const { event, sender: userId } = knock
  const context = await readContext(ports, knock, room)
  if (context === undefined) return 'overtaken'
  if (context.accepted && !ports.landing.waitsForRecord(context)) return repeat(facts, context)

  const authorised = authorise(knock, room, context)
  if (!authorised.ok) return authorised
  const refused = await refusePolicyServer(ports, roomId, facts)
  if (refused !== undefined) return refused
  const reserved = ports.limits.reserve({ origin, userId, roomId }, event.eventId)
  if (!reserved.ok) return reserved
  const restsOn = { head: context.head, facts, member: context.member, ageMs: room.ageMs }
  const accepted = { ok: true, rule: authorised.rule, reason: 'accepted' } as const
  const decision = decisionOf(askedFor(request, userId), accepted, decisionFacts(restsOn), ports.clock())
  const isRefusedNow = () => isRefusedInRoom(ports, request, knock)
  const outcome =
    (await ports.landing.land({ roomId, event, original, deadline, isRefusedNow }, decision)) ??
    (await record(ports, { event, decision }, facts, context))
  if (outcome === 'recorded') return { ok: true, body: facts.sendKnockResponse }
  reserved.release()
  return outcome
}

/** What the store has about a knock in a room that was opened; undefined where that is not the room any more. */
async function readContext(
  { store }: KnockPorts,
  { sender, event: { eventId, pdu } }: AuthenticKnock,
  { head: { roomId }, facts }: KnockableRoom,
): Promise<KnockContext | undefined> {
  const prevEvents = prevEventIds(pdu)
  const context = await store.readContext({ roomId, sender, eventId, prevEvents, authEvents: authEventIds(pdu) })
  return context?.head.factsRevision === facts.factsRevision ? context : undefined
}

function authorise(
  { version, sender, event: { pdu }, signatures }: AuthenticKnock,
  { head: { roomId }, facts }: KnockableRoom,
  context: KnockContext,
): Authorisation {
  const named = pdu.content.join_authorised_via_users_server
  const authorisingUser =
    named === undefined ? undefined : { userId: named, signed: signatures.authorisingServerSigned }
  const toJudge = { sender, stateKey: sender, roomId, ...(authorisingUser && { authorisingUser }) }
  return authoriseInRoom({ pdu, toJudge, facts, context, version })
}

/** Whether the room, read anew, refuses a knock that is not in it. Where nothing can be said of the room, it does not. */
async function isRefusedInRoom(
  ports: KnockPorts,
  { roomId, origin, deadline }: SendKnockRequest,
  knock: AuthenticKnock,
): Promise<boolean> {
  const opened = await ports.rooms.open(roomId, knock.sender, { origin, deadline, notBefore: ports.clock() })
  if (opened?.kind === 'closed') return false
  const room = checkServer(opened, origin)
  if (!room.ok) return true
  const context = await readContext(ports, knock, room)
  return context !== undefined && !context.accepted && !authorise(knock, room, context).ok
}

/** An event that was accepted before: the same answer and nothing more, while the user still knocks. */
function repeat(facts: RoomFacts, { member }: KnockContext): SendKnockAnswer | Refusal {
  if (membershipOf(member) === 'knock') return { ok: true, body: facts.sendKnockResponse }
  return refusal('M_FORBIDDEN', 'This knock has been answered since', 'repeated knock')
}

async function record(
  ports: KnockPorts,
  accepted: KnockAttempt,
  { factsRevision }: RoomFacts,
  { member }: KnockContext,
): Promise<'recorded' | 'overtaken' | Refusal> {
  const { landing } = ports
  const read = { factsRevision, membership: membershipOf(member) }
  const outcome = await recordKnock(ports, accepted, landing.restsOn(read), landing.deliveredBy)
  if (outcome.kind === 'committed') return 'recorded'
  // A duplicate was recorded by another request meanwhile: looking again finds it accepted.
  if (outcome.kind === 'conflict' || outcome.kind === 'duplicate') return 'overtaken'
  return notRecorded()
}

function askedFor({ origin, roomId, eventId }: SendKnockRequest, userId: UserId): AskedFor {
  return { endpoint: 'send_knock', origin, roomId, userId, eventId }
}
