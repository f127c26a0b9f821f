/**
 * Whole signed rooms of any knockable version, told as a story: who creates, who joins, who is banned.
 * https://spec.matrix.org/latest/server-server-api/#pdu-fields
 */
import { finishEvent, type SignedEvent, type TestedVersion } from './events.ts'
import type { Identity, Json, JsonRecord } from './signing.ts'

/** A user and the server that signs for them. */
export interface Person {
  readonly id: string
  readonly server: Identity
}

/** One thing that happens in a room. */
export interface Line {
  readonly by: Person
  readonly type: string
  /** Without it: a message. */
  readonly stateKey?: string
  readonly content: JsonRecord
}

export interface TestRoom {
  readonly roomId: string
  readonly version: TestedVersion
  /** Every event, in the order in which it happened. */
  readonly timeline: readonly SignedEvent[]
  /** The newest event of a type and state key. */
  state(type: string, stateKey?: string): SignedEvent | undefined
  /** The ids that a knock by this user lists as its auth events. */
  authEventsFor(userId: string): readonly string[]
  /** The last event. */
  readonly tip: SignedEvent
  /** The room as `rooms import` reads it. */
  importFile(): JsonRecord
}

export function person(localpart: string, server: Identity): Person {
  return { id: `@${localpart}:${server.name}`, server }
}

/** A state event with an empty state key, or with the one given. */
export function sets(by: Person, type: string, content: JsonRecord, stateKey = ''): Line {
  return { by, type, stateKey, content }
}

export function joins(by: Person): Line {
  return { by, type: 'm.room.member', stateKey: by.id, content: { membership: 'join' } }
}

export function leaves(by: Person): Line {
  return { by, type: 'm.room.member', stateKey: by.id, content: { membership: 'leave' } }
}

export function invites(by: Person, target: Person): Line {
  return { by, type: 'm.room.member', stateKey: target.id, content: { membership: 'invite' } }
}

export function kicks(by: Person, target: Person): Line {
  return { by, type: 'm.room.member', stateKey: target.id, content: { membership: 'leave' } }
}

export function bans(by: Person, target: Person): Line {
  return { by, type: 'm.room.member', stateKey: target.id, content: { membership: 'ban' } }
}

export function joinRule(by: Person, rule: Json): Line {
  return sets(by, 'm.room.join_rules', { join_rule: rule })
}

export function says(by: Person, body: string): Line {
  return { by, type: 'm.room.message', content: { msgtype: 'm.text', body } }
}

/** The creator's power in the room; version 12 creators have theirs without being listed. */
export function powerLevels(by: Person, version: TestedVersion): Line {
  return sets(by, 'm.room.power_levels', { users: version === '12' ? {} : { [by.id]: 100 }, ban: 50, invite: 0 })
}

/** The usual start of a room: its creator joins, takes power, and lets people knock. */
export function opening(by: Person, version: TestedVersion, rule = 'knock'): readonly Line[] {
  return [joins(by), powerLevels(by, version), joinRule(by, rule)]
}

export interface RoomOptions {
  /** Keys beside the ones that every create event has. */
  readonly createContent?: JsonRecord
  /** Text before the colon of the room id, where the version has one. */
  readonly localpart?: string
  /** When the room was created, in milliseconds since the epoch; each event follows a second after the one before. */
  readonly since?: number
  /** Depth of the create event. */
  readonly depth?: number
}

let roomsMade = 0

/** Builds a room from its story: every event hashed, signed by its sender's server and authorised by those before it. */
export function buildRoom(
  version: TestedVersion,
  creator: Person,
  story: readonly Line[],
  options: RoomOptions = {},
): TestRoom {
  roomsMade += 1
  const roomId = `!${options.localpart ?? `room${roomsMade}`}:${creator.server.name}`
  const content = {
    room_version: version,
    ...(Number(version) < 11 && { creator: creator.id }),
    ...options.createContent,
  }
  const create = { by: creator, type: 'm.room.create', stateKey: '', content }
  const timeline: SignedEvent[] = []
  const state = new Map<string, SignedEvent>()
  let room = roomId
  for (const line of [create, ...story]) {
    const event = write(line, version, room, timeline, state, options)
    if (line === create && version === '12') room = `!${event.eventId.slice(1)}`
    timeline.push(event)
    if (line.stateKey !== undefined) state.set(`${line.type}|${line.stateKey}`, event)
  }
  return finished(room, version, timeline, state)
}

/**
 * What happens next in a room. Called twice with one room, it makes two branches.
 * @param after what the first line comes after; the last event where left out
 */
export function continueRoom(
  { roomId, version, timeline: earlier }: TestRoom,
  story: readonly Line[],
  after?: readonly string[],
): TestRoom {
  const [create] = earlier
  const since = Number(create?.pdu.origin_server_ts)
  const depth = Number(create?.pdu.depth)
  const timeline = [...earlier]
  const state = stateAfter(earlier)
  for (const [index, line] of story.entries()) {
    const event = write(line, version, roomId, timeline, state, { since, depth }, index === 0 ? after : undefined)
    timeline.push(event)
    if (line.stateKey !== undefined) state.set(`${line.type}|${line.stateKey}`, event)
  }
  return finished(roomId, version, timeline, state)
}

/** A room with one more event that somebody wrote elsewhere. */
export function withEvent({ roomId, version, timeline }: TestRoom, event: SignedEvent): TestRoom {
  const longer = [...timeline, event]
  return finished(roomId, version, longer, stateAfter(longer))
}

/** The state after events that came one after the other, by type and state key: `m.room.name|`. */
export function stateAfter(timeline: readonly SignedEvent[]): Map<string, SignedEvent> {
  const state = timeline.filter(({ pdu }) => 'state_key' in pdu)
  return new Map(state.map((event) => [`${event.pdu.type}|${event.pdu.state_key}`, event]))
}

function write(
  { by, type, stateKey, content }: Line,
  version: TestedVersion,
  roomId: string,
  timeline: readonly SignedEvent[],
  state: ReadonlyMap<string, SignedEvent>,
  { since = Date.now() - 3_600_000, depth = 1 }: RoomOptions,
  after?: readonly string[],
): SignedEvent {
  const previous = timeline.at(-1)
  const draft: JsonRecord = {
    ...(version === '12' && type === 'm.room.create' ? {} : { room_id: roomId }),
    type,
    sender: by.id,
    ...(stateKey !== undefined && { state_key: stateKey }),
    content,
    origin_server_ts: since + timeline.length * 1000,
    depth: depth + timeline.length,
    prev_events: after ?? (previous === undefined ? [] : [previous.eventId]),
    auth_events: authIds(version, state, by.id, type === 'm.room.member' ? stateKey : undefined),
  }
  return finishEvent(draft, version, by.server)
}

/** https://spec.matrix.org/latest/server-server-api/#auth-events-selection */
function authIds(
  version: TestedVersion,
  state: ReadonlyMap<string, SignedEvent>,
  sender: string,
  target: string | undefined,
): readonly string[] {
  const wanted = ['m.room.power_levels|', `m.room.member|${sender}`]
  if (version !== '12') wanted.unshift('m.room.create|')
  if (target !== undefined) wanted.push(`m.room.member|${target}`, 'm.room.join_rules|')
  return [...new Set(wanted)].flatMap((slot) => state.get(slot)?.eventId ?? [])
}

function finished(
  roomId: string,
  version: TestedVersion,
  timeline: readonly SignedEvent[],
  state: ReadonlyMap<string, SignedEvent>,
): TestRoom {
  const current = [...state.values()]
  const tip = timeline.at(-1) as SignedEvent
  return {
    roomId,
    version,
    timeline,
    tip,
    state: (type, stateKey = '') => state.get(`${type}|${stateKey}`),
    authEventsFor: (userId) => authIds(version, state, userId, userId),
    importFile: () => ({
      room_id: roomId,
      room_version: version,
      pdus: current.map(({ pdu }) => pdu),
      auth_chain: timeline
        .filter((event) => 'state_key' in event.pdu && !current.includes(event))
        .map(({ pdu }) => pdu),
      extremities: [tip.pdu],
    }),
  }
}
