/**
 * The part of the decision that both endpoints share: may this server and this user knock on the room as it is now?
 * Each check cites its rule. https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */
import { authoriseKnock, type KnockToJudge } from '../matrix/auth/knock-rules.ts'
import type { Verdict } from '../matrix/auth/verdict.ts'
import type { RoomId, ServerName, UserId } from '../matrix/identifiers.ts'
import type { RoomEvent } from '../matrix/pdu.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import { type RoomVersion, roomVersion } from '../matrix/room-versions.ts'
import type { ClosedRoom, OpenRoom } from './open-room.ts'
import type { Membership, RoomHead, RoomStore } from './ports/rooms.ts'
import { knockableVersion, type RoomFacts } from './room-facts.ts'

/** A room that a server may ask about: we are in it, its state is whole, and its ACL lets the server in. */
export interface KnockableRoom extends Membership {
  readonly ok: true
  readonly head: RoomHead
  readonly facts: RoomFacts
  readonly ageMs: number | undefined
}

/** The gate before all else: rooms that we cannot answer for are 404, servers that the ACL denies learn nothing more. */
export function checkServer(room: OpenRoom | ClosedRoom | undefined, origin: ServerName): KnockableRoom | Refusal {
  if (room === undefined) return refusal('M_NOT_FOUND', 'Unknown room', 'room known')
  if (room.kind === 'closed') return refuseClosed(room)
  if (!room.head.resident) return refusal('M_NOT_FOUND', 'This server is not in the room', 'resident server')
  if ('unusable' in room.facts) {
    const { unusable: detail } = room.facts
    return { ...refusal('M_NOT_FOUND', 'The state of the room is not available', 'state usable'), detail }
  }
  if (!room.facts.acls.every((acl) => acl.allows(origin))) {
    return refusal('M_FORBIDDEN', 'Your server is denied by the server ACL of the room', 'server ACL')
  }
  const { head, facts, member, memberFlaw, ageMs } = room
  return { ok: true, head, facts, member, memberFlaw, ageMs }
}

function refuseClosed({ concerns, reason }: ClosedRoom): Refusal {
  const rule = 'homeserver: state of the room'
  return concerns === 'all rooms' ? outOfOrder(rule, reason) : notAvailable(rule, reason)
}

/** The homeserver does not answer at all: the one reason for a 5xx that is no bug. @param detail for the operator */
export function outOfOrder(rule: string, detail: string): Refusal {
  return { ...refusal('M_UNKNOWN', 'The homeserver does not answer in time, try again', rule), status: 504, detail }
}

/**
 * Nothing can be said of one room now. Homeservers answer so for rooms of which they do not have the whole state yet, and
 * other servers then ask another resident. docs/decisions/0013-a-5xx-only-where-it-is-true.md
 * @param detail for the operator
 */
export function notAvailable(rule: string, detail: string): Refusal {
  return { ...refusal('M_NOT_FOUND', 'The state of the room is not available now, try again', rule), detail }
}

/**
 * A knock was given to the homeserver and may have come into the room or not.
 * docs/decisions/0013-a-5xx-only-where-it-is-true.md
 * @param detail for the operator
 */
export function unknownOutcome(rule: string, detail: string): Refusal {
  const error = 'It is not known whether the knock has come into the room, try again'
  return { ...refusal('M_NOT_FOUND', error, rule), detail }
}

/** The room's version if users can knock in it. */
export function requireKnockableVersion(head: Pick<RoomHead, 'version'>): { ok: true; version: RoomVersion } | Refusal {
  if (roomVersion(head.version) === undefined) {
    return refusal('M_UNSUPPORTED_ROOM_VERSION', 'This server does not support the version of the room', 'room version')
  }
  const version = knockableVersion(head.version)
  if (version === undefined) {
    return refusal('M_FORBIDDEN', 'The version of the room does not support knocking', `auth v${head.version} knock`)
  }
  return { ok: true, version }
}

/** Judges a knock against the room's current state. */
export function judgeCurrentState(
  knock: KnockToJudge,
  facts: RoomFacts,
  member: RoomEvent | undefined,
  version: RoomVersion,
): Verdict {
  return authoriseKnock(knock, { create: facts.create, joinRules: facts.joinRules, member }, version)
}

/** Refuses a user of whom the room has a member event that cannot be used: it may be a ban. */
export function refuseUnknownMembership({ memberFlaw }: Pick<Membership, 'memberFlaw'>): Refusal | undefined {
  if (memberFlaw === undefined) return undefined
  const refused = refusal('M_FORBIDDEN', 'Your membership in the room cannot be told', 'membership usable')
  return { ...refused, detail: `the user's m.room.member event cannot be used: ${memberFlaw}` }
}

/**
 * Refuses rooms with an enabled policy server: no event may enter them without its signature, and we ask none yet. Where the
 * homeserver answers the knock and delivers it, asking is its part.
 */
export async function refusePolicyServer(
  { store, landing }: { readonly store: RoomStore; readonly landing: { readonly deliveredBy: 'us' | 'homeserver' } },
  roomId: RoomId,
  facts: RoomFacts,
): Promise<Refusal | undefined> {
  if (landing.deliveredBy === 'homeserver') return undefined
  const joined = await Promise.all(facts.policyServers.map((via) => store.hasJoinedMember(roomId, via)))
  if (!joined.includes(true)) return undefined
  return refusal(
    'M_FORBIDDEN',
    'The room uses a policy server, which this server cannot ask for its approval',
    'policy servers',
  )
}

/** A rejection by the auth rules as the answer to the remote. */
export function forbidden(verdict: { readonly rule: string; readonly reason: string }): Refusal {
  return refusal('M_FORBIDDEN', `You cannot knock on this room: ${verdict.reason}`, verdict.rule)
}

/** A template's knock before it exists. */
export function knockBy(userId: UserId, roomId: RoomId): KnockToJudge {
  return { sender: userId, stateKey: userId, roomId }
}

/** The room where it could be looked into. */
export function asOpen(room: OpenRoom | ClosedRoom | undefined): OpenRoom | undefined {
  return room?.kind === 'open' ? room : undefined
}
