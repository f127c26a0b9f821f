/**
 * The three passes of authorisation: by the event's auth events (A), in the state before it (B), in the current state (C).
 * https://spec.matrix.org/latest/server-server-api/#checks-performed-on-receipt-of-a-pdu
 */
import { checkAuthEvents, unknownAuthEvent } from '../matrix/auth/auth-events.ts'
import { authoriseKnock, type KnockToJudge } from '../matrix/auth/knock-rules.ts'
import type { Verdict } from '../matrix/auth/verdict.ts'
import { authEventIds, type Pdu, prevEventIds, type RoomEvent } from '../matrix/pdu.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import type { Branch, KnockContext } from './ports/rooms.ts'
import { forbidden, judgeCurrentState, refuseUnknownMembership } from './room-checks.ts'
import type { RoomFacts } from './room-facts.ts'

export interface KnockInRoom {
  readonly pdu: Pdu
  readonly toJudge: KnockToJudge
  readonly facts: RoomFacts
  readonly context: KnockContext
  readonly version: RoomVersion
}

/** The rule that lets the knock in, or the refusal of the first that does not. */
export type Authorisation = { readonly ok: true; readonly rule: string } | Refusal

/** Runs the passes in the specification's order; the first refusal stands. */
export function authoriseInRoom(knock: KnockInRoom): Authorisation {
  const branches = knownBranches(knock)
  if (!Array.isArray(branches)) return branches
  const deepest = Math.max(...branches.map(({ depth }) => depth))
  if (knock.pdu.depth > deepest + 1) {
    // An event of the greatest depth would stay the deepest of the room for ever.
    return refusal('M_INVALID_PARAM', 'depth is greater than that of the prev_events allows', 'depth of the event')
  }
  for (const place of [...branches, knock.context]) {
    const unknown = refuseUnknownMembership(place)
    if (unknown !== undefined) return unknown
  }
  for (const verdict of [byAuthEvents(knock), inStateBefore(knock, branches)]) {
    if (!verdict.allowed) return forbidden(verdict)
  }
  const current = judgeCurrentState(knock.toJudge, knock.facts, knock.context.member, knock.version)
  return current.allowed ? { ok: true, rule: current.rule } : forbidden(current)
}

/** The branches that `prev_events` names. One that is unknown leaves the state before the event unknown. */
function knownBranches({ pdu, context }: KnockInRoom): Branch[] | Refusal {
  const ids = prevEventIds(pdu)
  const branches = ids.flatMap((id) => context.branches.get(id) ?? [])
  if (ids.length > 0 && branches.length === ids.length) return branches
  return refusal(
    'M_FORBIDDEN',
    ids.length === 0 ? 'prev_events names no event' : 'prev_events names an event that is not known here',
    'state before the event',
  )
}

function byAuthEvents({ pdu, toJudge, facts, context, version }: KnockInRoom): Verdict {
  const authEvents: RoomEvent[] = []
  for (const id of authEventIds(pdu)) {
    const event = context.authEvents.get(id)
    if (event === undefined) return unknownAuthEvent(version)
    authEvents.push(event)
  }
  const selected = checkAuthEvents(pdu, authEvents, facts.create, version)
  return selected.allowed ? authoriseKnock(toJudge, selected.state, version) : selected
}

/**
 * Judges every branch by itself. Full state resolution would choose one value; here branches that disagree on the join
 * rule refuse, and those that disagree on the knocker must all allow.
 */
function inStateBefore({ toJudge, facts, version }: KnockInRoom, branches: readonly Branch[]): Verdict {
  const joinRules = new Set(branches.map(({ joinRules }) => joinRules?.pdu.content.join_rule))
  if (joinRules.size > 1) {
    return { allowed: false, rule: 'state before the event', reason: 'the state before the event is ambiguous' }
  }
  const verdicts = branches.map(({ joinRules, member }) =>
    authoriseKnock(toJudge, { create: facts.create, joinRules, member }, version),
  )
  return verdicts.find(({ allowed }) => !allowed) ?? (verdicts[0] as Verdict)
}
