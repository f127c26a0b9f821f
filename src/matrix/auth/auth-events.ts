/**
 * Auth events: which state a knock must cite, and the rules that judge what it does cite.
 * https://spec.matrix.org/latest/server-server-api/#auth-events-selection
 */
import type { EventId } from '../identifiers.ts'
import type { Pdu, RoomEvent } from '../pdu.ts'
import type { RoomVersion } from '../room-versions.ts'
import type { KnockAuthState } from './knock-rules.ts'
import { cite, type Rejected, rejected } from './verdict.ts'

/** The state that a knock cites, as far as the room has it. */
export interface AuthEventCandidates {
  readonly create: RoomEvent | undefined
  readonly powerLevels: RoomEvent | undefined
  readonly joinRules: RoomEvent | undefined
  /** The knocker's own member event: sender and target are one, so it is listed once. */
  readonly member: RoomEvent | undefined
}

/** The ids for a knock's `auth_events`: create (never in version 12), power levels, join rules, the knocker's member. */
export function selectAuthEvents(candidates: AuthEventCandidates, version: RoomVersion): readonly EventId[] {
  const { create, powerLevels, joinRules, member } = candidates
  return [version.hashRoomId ? undefined : create, powerLevels, joinRules, member].flatMap((event) =>
    event === undefined ? [] : [event.eventId],
  )
}

export type AuthEventsResult = { readonly allowed: true; readonly state: KnockAuthState } | Rejected

/**
 * Judges the auth events of a knock by themselves and lays them out as state (rules 2.1 to 2.5; in version 12, whose
 * numbers stand in brackets, 3.1 to 3.5). Rule 2.3 is not asked here: the store promises to keep accepted events alone.
 * @param knock an `m.room.member` event whose state key is its sender
 * @param authEvents what the ids in `auth_events` stand for, in their order
 * @param roomCreate the room's accepted create event: version 12 implies it
 */
export function checkAuthEvents(
  knock: Pdu,
  authEvents: readonly RoomEvent[],
  roomCreate: RoomEvent,
  version: RoomVersion,
): AuthEventsResult {
  const rule = version.authEventsRule
  // 2.1 (3.1): If there are duplicate entries for a given type and state_key pair, reject.
  if (namesAPairTwice(authEvents)) {
    return rejected(version, `${rule}.1`, 'auth_events names two events of one type and state key')
  }
  // 2.2 (3.2): If there are entries whose type and state_key don't match those specified by the auth events selection
  // algorithm, reject.
  const chosen = new Map<string, RoomEvent>()
  for (const event of authEvents) {
    const slot = slotOf(event.pdu, knock.sender, version)
    if (slot === undefined) {
      return rejected(version, `${rule}.2`, `auth_events names ${event.pdu.type}, which a knock does not need`)
    }
    chosen.set(slot, event)
  }
  // 2.4 (not in version 12): If there is no m.room.create event among the entries, reject.
  const create = version.hashRoomId ? roomCreate : chosen.get('m.room.create')
  if (create === undefined) return rejected(version, `${rule}.4`, 'auth_events does not name the create event')
  // 2.5 (3.5): If any event in auth_events has a room_id which does not match that of the event being authorised, reject.
  if (authEvents.some((event) => event.pdu.room_id !== knock.room_id)) {
    return rejected(version, `${rule}.5`, 'auth_events names an event of another room')
  }
  return {
    allowed: true,
    state: { create, joinRules: chosen.get('m.room.join_rules'), member: chosen.get('m.room.member') },
  }
}

function namesAPairTwice(authEvents: readonly RoomEvent[]): boolean {
  const pairs = new Set(authEvents.map(({ pdu }) => JSON.stringify([pdu.type, pdu.state_key])))
  return pairs.size < authEvents.length
}

/** The place that an event takes among a knock's auth events, or undefined where it has none. */
function slotOf(pdu: Pdu, sender: string, version: RoomVersion): string | undefined {
  switch (pdu.type) {
    case 'm.room.create':
      return pdu.state_key === '' && !version.hashRoomId ? pdu.type : undefined
    case 'm.room.power_levels':
    case 'm.room.join_rules':
      return pdu.state_key === '' ? pdu.type : undefined
    case 'm.room.member':
      return pdu.state_key === sender ? pdu.type : undefined
    default:
      return undefined
  }
}

/**
 * Rejects a knock with an auth event that nobody here can name: it cannot be shown to have been accepted.
 * 2.3 (3.3): If there are entries which were themselves rejected under the checks performed on receipt of a PDU, reject.
 */
export function unknownAuthEvent(version: RoomVersion): Rejected {
  return {
    allowed: false,
    rule: cite(version, `${version.authEventsRule}.3`),
    reason: 'auth_events names an event that is not known here',
  }
}
