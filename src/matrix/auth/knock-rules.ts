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
 * The power levels are never asked: the member rule allows or rejects before they would be.
 */
export function authoriseKnock(knock: KnockToJudge, state: KnockAuthState, version: RoomVersion): Verdict {
  const { memberRule, knockRule } = version
  if (knockRule === undefined) return rejected(version, `${memberRule}`, 'this room version has no knocking')

  // v12 rule 2: the room id is the id of the create event.
  if (version.hashRoomId && `!${state.create.eventId.slice(1)}` !== knock.roomId) {
    return rejected(version, '2', 'the room id is not that of the create event')
  }
  // Rule 3 (v12: 4): m.federate. Only the boolean false closes the room.
  if (state.create.pdu.content['m.federate'] === false && !sameServer(knock.sender, state.create.pdu.sender)) {
    return rejected(version, `${memberRule - 1}`, 'the room does not federate')
  }
  // Rule 4.2 (v12: 5.2): holds for every membership, not for joins alone.
  if (version.authorisingUserSignature && knock.authorisingUser !== undefined && !knock.authorisingUser.signed) {
    return rejected(version, `${memberRule}.2`, 'the authorising server has not signed the event')
  }
  const joinRule = state.joinRules?.pdu.content.join_rule
  if (typeof joinRule !== 'string' || !version.knockJoinRules.includes(joinRule)) {
    return rejected(version, `${knockRule}.1`, 'the join rule does not let users knock')
  }
  if (knock.sender !== knock.stateKey) {
    return rejected(version, `${knockRule}.2`, 'the sender is not the user who knocks')
  }
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
