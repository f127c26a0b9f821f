/** The rooms of a fake homeserver: branches with a state of their own each, and what becomes of events that come in. */
import { idOf, type SignedEvent } from './events.ts'
import type { Json, JsonRecord } from './signing.ts'
import { stateAfter, type TestRoom, withEvent } from './test-room.ts'

/** A room as its homeserver has it. */
export interface ResidentRoom {
  /** One per forward extremity: all of them share their beginning. */
  branches: readonly TestRoom[]
  /** The branch whose values state resolution chose. */
  resolved: TestRoom
  /** Its local users have left. */
  left: boolean
  /** Events that were stored and did not come into the room. */
  readonly outside: SignedEvent[]
}

export type Verdict = 'accepted' | 'soft-failed' | 'rejected' | 'unknown prev_events' | 'seen before'

export function residentRoom([first, ...others]: readonly [TestRoom, ...TestRoom[]], resolved = first): ResidentRoom {
  return { branches: [first, ...others], resolved, left: false, outside: [] }
}

export function tipsOf({ branches }: ResidentRoom): readonly string[] {
  return branches.map(({ tip }) => tip.eventId)
}

export function findEvent({ branches, outside }: ResidentRoom, eventId: string): SignedEvent | undefined {
  return [...branches.flatMap(({ timeline }) => timeline), ...outside].find((event) => event.eventId === eventId)
}

/** The state at an event: before it, or with it laid over. Undefined for events that the room does not have. */
export function stateAt(
  room: ResidentRoom,
  eventId: string,
  when: 'before' | 'after',
): ReadonlyMap<string, SignedEvent> | undefined {
  const before = eventsBefore(room, eventId)
  const event = findEvent(room, eventId)
  if (before === undefined || event === undefined) return undefined
  return stateAfter(when === 'before' ? before : [...before, event])
}

function eventsBefore(room: ResidentRoom, eventId: string): readonly SignedEvent[] | undefined {
  for (const { timeline } of room.branches) {
    const at = timeline.findIndex((event) => event.eventId === eventId)
    if (at >= 0) return timeline.slice(0, at)
  }
  const outside = room.outside.find((event) => event.eventId === eventId)
  return outside && room.branches[0]?.timeline
}

/** What authorises a join of this user in the resolved state. */
export function authEventsOfJoin({ resolved }: ResidentRoom, userId: string): readonly string[] {
  return resolved.authEventsFor(userId)
}

export function isJoined({ resolved }: ResidentRoom, userId: string): boolean {
  return membershipIn(resolved.state('m.room.member', userId)) === 'join'
}

/** Takes an event in as homeservers do: judged in the state before it, and then in the current state. */
export function receive(room: ResidentRoom, pdu: JsonRecord): Verdict {
  const { version } = room.resolved
  const event = { eventId: idOf(pdu, version), pdu }
  if (findEvent(room, event.eventId) !== undefined) return 'seen before'
  const named = pdu.prev_events as readonly string[]
  const before = stateAt(room, named[0] ?? '', 'after')
  if (before === undefined) return 'unknown prev_events'
  const verdict = !lets(before, pdu)
    ? 'rejected'
    : lets(stateAfter(room.resolved.timeline), pdu)
      ? 'accepted'
      : 'soft-failed'
  if (verdict !== 'accepted') room.outside.push(event)
  else append(room, event, named)
  return verdict
}

function append(room: ResidentRoom, event: SignedEvent, named: readonly string[]): void {
  const isNamed = ({ tip }: TestRoom): boolean => named.includes(tip.eventId)
  const only = named.length === 1 ? (room.branches.find(isNamed) ?? prefix(room, named[0] ?? '')) : room.resolved
  const longer = withEvent(only, event)
  room.branches = [...room.branches.filter((branch) => !isNamed(branch)), longer]
  room.resolved = withEvent(room.resolved, event)
}

function prefix({ branches }: ResidentRoom, eventId: string): TestRoom {
  const branch = branches.find(({ timeline }) => timeline.some((event) => event.eventId === eventId)) as TestRoom
  const at = branch.timeline.findIndex((event) => event.eventId === eventId)
  return { ...branch, timeline: branch.timeline.slice(0, at + 1) }
}

/** Whether the homeserver itself gives this user a template. */
export function mayKnock({ resolved }: ResidentRoom, userId: string): boolean {
  return lets(stateAfter(resolved.timeline), { sender: userId })
}

/** Whether a state lets a user knock, as far as tests ask. */
function lets(state: ReadonlyMap<string, SignedEvent>, { sender }: JsonRecord): boolean {
  const rule = contentOf(state.get('m.room.join_rules|')).join_rule
  const membership = membershipIn(state.get(`m.room.member|${sender}`))
  return String(rule).startsWith('knock') && [undefined, 'leave', 'knock'].includes(membership)
}

function membershipIn(event: SignedEvent | undefined): string | undefined {
  const { membership } = contentOf(event)
  return typeof membership === 'string' ? membership : undefined
}

function contentOf(event: SignedEvent | undefined): Readonly<Record<string, Json | undefined>> {
  return (event?.pdu.content ?? {}) as JsonRecord
}

/** An event in the format of clients, as application services are told of it. */
export function clientEvent(room: TestRoom, { eventId, pdu }: SignedEvent, unsigned: JsonRecord = {}): JsonRecord {
  const { type, sender, content, origin_server_ts } = pdu as Readonly<Record<string, Json>>
  const stateKey = 'state_key' in pdu ? { state_key: pdu.state_key as Json } : {}
  return {
    ...{ event_id: eventId, room_id: room.roomId, type: type as Json, sender: sender as Json },
    ...{ content: content as Json, origin_server_ts: origin_server_ts as Json, unsigned, ...stateKey },
  }
}
