/** Why a user could or could not knock now: the checks of make_knock that need no request, on the room as it is. */
import { type RoomId, serverNameOf, type UserId } from '../matrix/identifiers.ts'
import type { Refusal } from '../matrix/refusal.ts'
import { decisionFacts } from './decision.ts'
import { byRecord } from './landing.ts'
import type { ClosedRoom, OpenRoom, Rooms } from './open-room.ts'
import type { DecisionFacts, RoomStore } from './ports/rooms.ts'
import {
  asOpen,
  checkServer,
  forbidden,
  judgeCurrentState,
  knockBy,
  refusePolicyServer,
  refuseUnknownMembership,
  requireKnockableVersion,
} from './room-checks.ts'

export interface KnockExplanation {
  /** The rule that lets the user knock, or the refusal that a make_knock would meet. */
  readonly verdict: { readonly ok: true; readonly rule: string } | Refusal
  readonly facts: DecisionFacts
}

/** Judges a knock that nobody has sent. Limits and the versions that a remote supports are not looked at. */
export async function explainKnock(
  ports: { readonly store: RoomStore; readonly rooms: Rooms },
  roomId: RoomId,
  userId: UserId,
): Promise<KnockExplanation> {
  const question = { origin: serverNameOf(userId), deadline: Number.POSITIVE_INFINITY }
  const room = await ports.rooms.open(roomId, userId, question)
  const verdict = await judge(ports.store, room, roomId, userId)
  return { verdict, facts: decisionFacts(asOpen(room)) }
}

async function judge(
  store: RoomStore,
  opened: OpenRoom | ClosedRoom | undefined,
  roomId: RoomId,
  userId: UserId,
): Promise<KnockExplanation['verdict']> {
  const room = checkServer(opened, serverNameOf(userId))
  if (!room.ok) return room
  const version = requireKnockableVersion(room.head)
  if (!version.ok) return version
  const unknown = refuseUnknownMembership(room)
  if (unknown !== undefined) return unknown
  const verdict = judgeCurrentState(knockBy(userId, roomId), room.facts, room.member, version.version)
  if (!verdict.allowed) return forbidden(verdict)
  return (
    (await refusePolicyServer({ store, landing: byRecord }, roomId, room.facts)) ?? { ok: true, rule: verdict.rule }
  )
}
