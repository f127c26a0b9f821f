/**
 * `send_knock`: checks a signed knock, records it, and answers with what the knocker may see of the room.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1send_knockroomideventid
 */
import { membershipOf } from '../matrix/auth/knock-rules.ts'
import { parseUserId, type UserId } from '../matrix/identifiers.ts'
import { authEventIds, type Pdu, prevEventIds, type RoomEvent } from '../matrix/pdu.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { authoriseInRoom } from './auth-passes.ts'
import { eventToKeep } from './event-to-keep.ts'
import { handOver, notRecorded } from './hand-over.ts'
import { checkSubmittedKnock, type Submission, type SubmittedKnock } from './knock-event.ts'
import { checkKnockSignatures, type KnockSignatures } from './knock-signatures.ts'
import type { OriginalRequest } from './ports/homeserver.ts'
import type { Decision, KnockAttempt, KnockContext } from './ports/rooms.ts'
import type { KnockPorts } from './ports/use-cases.ts'
import { recordKnock } from './record-knock.ts'
import {
  type AdmittedRoom,
  admitServer,
  decisionFacts,
  refusePolicyServer,
  requireKnockableVersion,
} from './room-checks.ts'
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

type Outcome = SendKnockAnswer | Refusal | 'overtaken'

/** How often a decision is taken anew because the room changed between reading and writing. */
const MAX_ATTEMPTS = 16

/** Answers one authenticated send_knock. A 200 means that the knock is recorded and will be delivered. */
export async function sendKnock(ports: KnockPorts, request: SendKnockRequest): Promise<SendKnockAnswer | Refusal> {
  // The user is needed to look at the room, the room to know the format that says whether the user is one.
  const userId = typeof request.body.sender === 'string' ? parseUserId(request.body.sender) : undefined
  const room = await openRoom(ports, request, userId)
  if (!room.ok) return refuse(ports, request, userId, undefined, room)
  const version = requireKnockableVersion(room.head)
  if (!version.ok) return refuse(ports, request, userId, room, version)
  const knock = checkSubmittedKnock(request, version.version)
  if (!knock.ok) return refuse(ports, request, userId, room, knock)
  const signatures = await checkKnockSignatures(ports, knock, version.version, request.keyDeadline)
  if (!signatures.ok) return refuse(ports, request, userId, room, signatures)
  const event = eventToKeep(knock, version.version)
  return decideUntilSettled(ports, request, knock, room, { version: version.version, event, signatures })
}

/** A knock that is what it says and comes from whom it says: only the room's rules are left to ask. */
interface AuthenticKnock {
  readonly version: RoomVersion
  readonly event: RoomEvent
  readonly signatures: KnockSignatures
}

async function openRoom(
  { rooms }: KnockPorts,
  { roomId, origin, deadline }: SendKnockRequest,
  userId: UserId | undefined,
): Promise<AdmittedRoom | Refusal> {
  // A sender that is no user id has no membership: any name of that kind serves to look at the room.
  return admitServer(await rooms.open(roomId, userId ?? ('' as UserId), { origin, deadline }), origin)
}

/** Decides and writes; where the room changed in between, looks again. */
async function decideUntilSettled(
  ports: KnockPorts,
  request: SendKnockRequest,
  knock: SubmittedKnock,
  opened: AdmittedRoom,
  authentic: AuthenticKnock,
): Promise<SendKnockAnswer | Refusal> {
  let room: AdmittedRoom | Refusal = opened
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (!room.ok) return refuse(ports, request, knock.sender, undefined, room)
    const outcome = await decideOnce(ports, request, knock, room, authentic)
    if (outcome !== 'overtaken') return outcome.ok ? outcome : refuse(ports, request, knock.sender, room, outcome)
    room = await openRoom(ports, request, knock.sender)
  }
  const busy = refusal('M_NOT_FOUND', 'The room is changing too fast, try again', 'recording the knock')
  return refuse(ports, request, knock.sender, opened, busy)
}

async function decideOnce(
  ports: KnockPorts,
  request: SendKnockRequest,
  { sender }: SubmittedKnock,
  room: AdmittedRoom,
  authentic: AuthenticKnock,
): Promise<Outcome> {
  const { roomId, origin, deadline, original } = request
  const { facts, ageMs } = room
  const { event } = authentic
  const context = await readContext(ports, sender, authentic, room)
  if (context === undefined) return 'overtaken'
  if (context.accepted && !waitsForItsRecord(ports, context)) return repeat(facts, context)

  const authorised = authorise(authentic, sender, room, context)
  if (!authorised.ok) return authorised
  const knocker = { origin, userId: sender, roomId }
  const refused = await refusePolicyServer(ports, roomId, facts)
  if (refused !== undefined) return refused
  const reserved = ports.policy.reserve(knocker, event.eventId)
  if (!reserved.ok) return reserved
  const isRefusedNow = () => isRefusedInRoom(ports, request, sender, authentic)
  const grounds = { head: context.head, facts, member: context.member, ageMs }
  const decision = acceptance(ports, request, { userId: sender, rule: authorised.rule }, grounds)
  const outcome =
    (await handOver(ports, { roomId, event, original, deadline, isRefusedNow }, decision)) ??
    (await record(ports, { event, decision }, { facts, context }))
  if (outcome === 'recorded') return { ok: true, body: facts.sendKnockResponse }
  reserved.release()
  return outcome
}

/** What the store has about a knock in a room that was opened; undefined where that is not the room any more. */
async function readContext(
  { store }: KnockPorts,
  sender: UserId,
  { event: { eventId, pdu } }: AuthenticKnock,
  { head: { roomId }, facts }: AdmittedRoom,
): Promise<KnockContext | undefined> {
  const prevEvents = prevEventIds(pdu)
  const context = await store.readContext({ roomId, sender, eventId, prevEvents, authEvents: authEventIds(pdu) })
  return context?.head.factsRevision === facts.factsRevision ? context : undefined
}

function authorise(
  { version, event: { pdu }, signatures }: AuthenticKnock,
  sender: UserId,
  { head: { roomId }, facts }: AdmittedRoom,
  context: KnockContext,
): ReturnType<typeof authoriseInRoom> {
  const authorisingUser = authorisingUserOf(pdu, signatures)
  const toJudge = { sender, stateKey: sender, roomId, ...(authorisingUser && { authorisingUser }) }
  return authoriseInRoom({ pdu, toJudge, facts, context, version })
}

/** Whether the room, read anew, refuses a knock that is not in it. Where nothing can be said of the room, it does not. */
async function isRefusedInRoom(
  ports: KnockPorts,
  { roomId, origin, deadline }: SendKnockRequest,
  sender: UserId,
  authentic: AuthenticKnock,
): Promise<boolean> {
  const opened = await ports.rooms.open(roomId, sender, { origin, deadline, notBefore: ports.clock() })
  if (opened?.kind === 'closed') return false
  const room = admitServer(opened, origin)
  if (!room.ok) return true
  const context = await readContext(ports, sender, authentic, room)
  return context !== undefined && !context.accepted && !authorise(authentic, sender, room, context).ok
}

/** The homeserver has taken the knock into the room, and we have not come to recording it since. */
function waitsForItsRecord({ handover }: KnockPorts, { recorded, member }: KnockContext): boolean {
  return handover !== undefined && !recorded && membershipOf(member) === 'knock'
}

/** An event that was accepted before: the same answer and nothing more, while the user still knocks. */
function repeat(facts: RoomFacts, { member }: KnockContext): SendKnockAnswer | Refusal {
  if (membershipOf(member) === 'knock') return { ok: true, body: facts.sendKnockResponse }
  return refusal('M_FORBIDDEN', 'This knock has been answered since', 'repeated knock')
}

function authorisingUserOf(pdu: Pdu, { authorisingServerSigned: signed }: KnockSignatures) {
  const userId = pdu.content.join_authorised_via_users_server
  return userId === undefined ? undefined : { userId, signed }
}

/** The record of a knock that comes into the room. */
function acceptance(
  ports: KnockPorts,
  { roomId, origin, eventId }: SendKnockRequest,
  { userId, rule }: { readonly userId: UserId; readonly rule: string },
  grounds: Parameters<typeof decisionFacts>[0],
): Decision {
  return {
    time: ports.clock(),
    endpoint: 'send_knock',
    roomId,
    userId,
    origin,
    eventId,
    outcome: 'accepted',
    status: 200,
    errcode: undefined,
    rule,
    reason: 'accepted',
    facts: decisionFacts(grounds),
  }
}

async function record(
  ports: KnockPorts,
  accepted: KnockAttempt,
  { facts, context }: { readonly facts: RoomFacts; readonly context: KnockContext },
): Promise<'recorded' | 'overtaken' | Refusal> {
  const { handover } = ports
  const read = { factsRevision: facts.factsRevision, membership: membershipOf(context.member) }
  const deliveredBy = handover?.homeserverDelivers ? 'homeserver' : 'us'
  const outcome = await recordKnock(ports, accepted, handover ? 'in the room' : read, deliveredBy)
  if (outcome.kind === 'committed') return 'recorded'
  // A duplicate was recorded by another request meanwhile: looking again finds it accepted.
  if (outcome.kind === 'conflict' || outcome.kind === 'duplicate') return 'overtaken'
  return notRecorded()
}

function refuse(
  ports: KnockPorts,
  { origin, roomId, eventId }: SendKnockRequest,
  userId: UserId | undefined,
  room: AdmittedRoom | undefined,
  refused: Refusal,
): Refusal {
  if (userId === undefined) return refused
  const decision: Decision = {
    time: ports.clock(),
    endpoint: 'send_knock',
    roomId,
    userId,
    origin,
    eventId,
    outcome: 'refused',
    status: refused.status,
    errcode: refused.errcode,
    rule: refused.rule,
    reason: refused.error,
    facts: decisionFacts(room),
  }
  ports.store.recordDecision(decision)
  return refused
}
