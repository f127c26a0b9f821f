/** The record of what was decided about a request: for `knocks list`, for audits, and for whoever asks why. */
import { membershipOf } from '../matrix/auth/knock-rules.ts'
import type { EventId, RoomId, ServerName, UserId } from '../matrix/identifiers.ts'
import type { Refusal } from '../matrix/refusal.ts'
import type { OpenRoom } from './open-room.ts'
import type { Decision, DecisionFacts } from './ports/rooms.ts'

/** Who asked for what. */
export interface AskedFor {
  readonly endpoint: Decision['endpoint']
  readonly origin: ServerName
  readonly roomId: RoomId
  readonly userId: UserId
  /** Undefined in make_knock: there is no event yet. */
  readonly eventId: EventId | undefined
}

/** What let a knock in. */
export interface Acceptance {
  readonly ok: true
  readonly rule: string
  readonly reason: string
}

/** @param time milliseconds since the epoch */
export function decisionOf(
  { endpoint, origin, roomId, userId, eventId }: AskedFor,
  outcome: Acceptance | Refusal,
  facts: DecisionFacts,
  time: number,
): Decision {
  return {
    time,
    endpoint,
    roomId,
    userId,
    origin,
    eventId,
    outcome: outcome.ok ? 'accepted' : 'refused',
    status: outcome.ok ? 200 : outcome.status,
    errcode: outcome.ok ? undefined : outcome.errcode,
    rule: outcome.rule,
    reason: outcome.ok ? outcome.reason : outcome.error,
    facts,
  }
}

/** What a decision rests on. @param room undefined where it could not be looked into */
export function decisionFacts(room: Pick<OpenRoom, 'head' | 'facts' | 'member' | 'ageMs'> | undefined): DecisionFacts {
  const facts = room === undefined || 'unusable' in room.facts ? undefined : room.facts
  const joinRule = facts?.joinRules?.pdu.content.join_rule
  return {
    roomVersion: room?.head.version,
    revision: room?.head.revision,
    joinRule: typeof joinRule === 'string' ? joinRule : undefined,
    membership: membershipOf(room?.member),
    ageMs: room?.ageMs,
  }
}
