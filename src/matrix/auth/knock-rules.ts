/**
 * The authorisation rules as they judge a knock: an `m.room.member` event with membership `knock`.
 * https://spec.matrix.org/latest/rooms/v10/#authorization-rules and its sisters
 */
import { parseUserId, type ServerName, serverNameOf } from '../identifiers.ts'
import type { JsonValue } from '../json.ts'
import type { Pdu, RoomEvent } from '../pdu.ts'
import type { RoomVersion } from '../room-versions.ts'
import { cite, rejected, type Verdict } from './verdict.ts'

/** The state that a knock is judged against, whichever it is: by auth events, before the event, or current. */
export interface KnockAuthState {
  readonly create: RoomEvent
  readonly joinRules: RoomEvent | undefined
  /** The sender's member event. */
  readonly member: RoomEvent | undefined
}

/** What is judged. A knock that does not exist yet (a template) has only its sender. */
export interface KnockToJudge {
  readonly sender: string
  readonly stateKey: string
  readonly roomId: string
  /** `content.join_authorised_via_users_server` and whether that user's server signed the event (v8 and later). */
  readonly authorisingUser?: { readonly userId: JsonValue; readonly signed: boolean }
}

/** Memberships from which nobody can knock: rule 4.7.3 and its sisters. */
const NO_KNOCK_FROM: readonly unknown[] = ['ban', 'invite', 'join']

/**
 * Judges a knock against one state. Rules are tried in the specification's order and the first that decides is cited.
 * Each stands under its sentence, with its number in versions 8 to 11 and in brackets that of version 12; in version 7,
 * which has no 4.2, the part on knocks is 4.6.
 * The power levels are never asked: the member rule allows or rejects before they would be.
 */
export function authoriseKnock(knock: KnockToJudge, state: KnockAuthState, version: RoomVersion): Verdict {
  const { roomIdRule, federateRule, memberRule, knockRule } = version
  // The last of the member rule: Otherwise, the membership is unknown. Reject.
  if (knockRule === undefined) return rejected(version, `${memberRule}`, 'this room version has no knocking')

  // 2, in version 12: If the event's room_id is not an event ID for an accepted m.room.create event, with the sigil !
  // instead of $, reject.
  if (roomIdRule !== undefined && `!${state.create.eventId.slice(1)}` !== knock.roomId) {
    return rejected(version, `${roomIdRule}`, 'the room id is not that of the create event')
  }
  // 3 (4): If the content of the m.room.create event in the room state has the property m.federate set to false, and the
  // sender domain of the event does not match the sender domain of the create event, reject. Only the boolean is false.
  if (state.create.pdu.content['m.federate'] === false && !sameServer(knock.sender, state.create.pdu.sender)) {
    return rejected(version, `${federateRule}`, 'the room does not federate')
  }
  // 4.2 (5.2): If content has a join_authorised_via_users_server key: if the event is not validly signed by the homeserver
  // of the user ID denoted by the key, reject. That is said of every membership, not of joins alone.
  if (version.authorisingUserSignature && knock.authorisingUser !== undefined && !knock.authorisingUser.signed) {
    return rejected(version, `${memberRule}.2`, 'the authorising server has not signed the event')
  }
  // 4.7.1 (5.7.1): If the join_rule is anything other than knock or, from version 10 on, knock_restricted, reject.
  const joinRule = state.joinRules?.pdu.content.join_rule
  if (typeof joinRule !== 'string' || !version.knockJoinRules.includes(joinRule)) {
    return rejected(version, `${knockRule}.1`, 'the join rule does not let users knock')
  }
  // 4.7.2 (5.7.2): If sender does not match state_key, reject.
  if (knock.sender !== knock.stateKey) {
    return rejected(version, `${knockRule}.2`, 'the sender is not the user who knocks')
  }
  // 4.7.3 (5.7.3): If the sender's current membership is not ban, invite, or join, allow. 4.7.4 (5.7.4): Otherwise, reject.
  const membership = membershipOf(state.member)
  if (NO_KNOCK_FROM.includes(membership)) {
    return rejected(version, `${knockRule}.4`, `the user's membership is ${membership}`)
  }
  return { allowed: true, rule: cite(version, `${knockRule}.3`) }
}

/** The `membership` of a member event; undefined where there is none. */
export function membershipOf(member: RoomEvent | undefined): string | undefined {
  const membership = member?.pdu.content.membership
  return typeof membership === 'string' ? membership : undefined
}

/** The server that must sign a knock with `join_authorised_via_users_server`, or undefined where the value names none. */
export function authorisingServer(pdu: Pdu): ServerName | undefined {
  const value = pdu.content.join_authorised_via_users_server
  const userId = typeof value === 'string' ? parseUserId(value) : undefined
  return userId === undefined ? undefined : serverNameOf(userId)
}

function sameServer(left: string, right: string): boolean {
  return left.slice(left.indexOf(':')) === right.slice(right.indexOf(':'))
}
