/** `knocks list`: what was decided about which knock, by which rule, on which facts. */
import type { Decision, DecisionFacts } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { parseUserId, type UserId } from '../matrix/identifiers.ts'
import { type ExitCode, type Output, outJson } from './outcome.ts'
import { readRoomId } from './rooms.ts'
import { table } from './table.ts'

export interface KnockListOptions {
  readonly json?: boolean
  readonly room?: string
  readonly user?: string
  /** Most decisions, newest first. */
  readonly limit: number
}

export async function listKnocks(
  store: Store,
  { json, room, user, limit }: KnockListOptions,
  output: Output,
): Promise<ExitCode> {
  const roomId = room === undefined ? undefined : readRoomId(room, output)
  const userId = user === undefined ? undefined : readUserId(user, output)
  if ((room !== undefined && roomId === undefined) || (user !== undefined && userId === undefined)) return 2
  const decisions = await store.listDecisions({ ...(roomId && { roomId }), ...(userId && { userId }), limit })
  if (json === true) outJson(output, decisions.map(decisionObject))
  else if (decisions.length === 0) output.out('No knocks yet.')
  else for (const line of table(HEAD, decisions.map(decisionRow))) output.out(line)
  return 0
}

const HEAD = ['TIME', 'CALL', 'OUTCOME', 'USER', 'ROOM', 'EVENT', 'RULE', 'REASON']

function decisionRow(decision: Decision): readonly string[] {
  const { time, endpoint, outcome, status, userId, roomId, eventId, rule, reason } = decision
  const call = [new Date(time).toISOString(), endpoint, `${outcome} ${status}`]
  return [...call, userId, roomId, eventId ?? '-', rule, reason]
}

function decisionObject(decision: Decision) {
  const { time, endpoint, outcome, status, errcode, origin, userId, roomId, eventId, rule, reason, facts } = decision
  return {
    time: new Date(time).toISOString(),
    endpoint,
    outcome,
    status,
    errcode: errcode ?? null,
    room_id: roomId,
    user_id: userId,
    origin,
    event_id: eventId ?? null,
    rule,
    reason,
    facts: factsObject(facts),
  }
}

/** The facts of a decision as JSON shows them. */
export function factsObject({ roomVersion, revision, joinRule, membership, ageMs }: DecisionFacts) {
  return {
    room_version: roomVersion ?? null,
    revision: revision ?? null,
    join_rule: joinRule ?? null,
    membership: membership ?? null,
    age_ms: ageMs ?? null,
  }
}

/** A user id from the command line; what is none is wrong usage. */
export function readUserId(text: string, output: Output): UserId | undefined {
  const userId = parseUserId(text)
  if (userId === undefined) output.err(`${JSON.stringify(text)} is no user id; expected @localpart:server`)
  return userId
}
