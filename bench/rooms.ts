/** Signed rooms of any size for benchmarks, and the knocks on them. */
import type { SignedEvent } from '../test/support/events.ts'
import { makeKnockPath, sendKnockPath } from '../test/support/remote-knocker.ts'
import type { JsonRecord } from '../test/support/signing.ts'
import { ROOM_VERSION, type Signer, signEvent, signedRequest } from './native-signing.ts'

export interface BenchRoom {
  readonly roomId: string
  /** What decides, and the creator's membership. */
  readonly core: readonly SignedEvent[]
  /** Joined members beside the creator, made while they are read. */
  members(): Iterable<SignedEvent>
  /** The forward extremities: messages. */
  readonly tips: readonly SignedEvent[]
}

export interface RoomPlan {
  readonly name: string
  /** The creator's server: ours. */
  readonly here: Signer
  /** Servers of the other members, in turn. */
  readonly others: readonly Signer[]
  /** Joined members, the creator included. */
  readonly members: number
  readonly tips: number
}

/** Versions that a present homeserver offers. */
const OFFERED = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12']
const SINCE = Date.now() - 86_400_000

export function planRoom(plan: RoomPlan): BenchRoom {
  const roomId = `!${plan.name}:${plan.here.identity.name}`
  const creator = `@creator:${plan.here.identity.name}`
  const write = (type: string, stateKey: string, content: JsonRecord, before: readonly SignedEvent[]): SignedEvent =>
    signEvent(
      {
        ...eventFrame(roomId, creator, before.length + 1, before.slice(-1), before.slice(0, 3)),
        ...{ type, state_key: stateKey, content },
      },
      plan.here,
    )
  const core: SignedEvent[] = []
  core.push(write('m.room.create', '', { room_version: ROOM_VERSION }, core))
  core.push(write('m.room.member', creator, { membership: 'join' }, core))
  core.push(write('m.room.power_levels', '', { users: { [creator]: 100 }, invite: 0 }, core))
  core.push(write('m.room.join_rules', '', { join_rule: 'knock' }, core))
  core.push(write('m.room.name', '', { name: `Room ${plan.name}` }, core))
  const tips = Array.from({ length: plan.tips }, (_, index) => message(plan, roomId, creator, core, index))
  return { roomId, core, tips, members: () => joinedMembers(plan, roomId, core) }
}

function* joinedMembers({ here, others, members }: RoomPlan, roomId: string, core: readonly SignedEvent[]) {
  const auth = [core[0], core[2], core[3]].flatMap((event) => event ?? [])
  for (let index = 0; index < members - 1; index++) {
    const server = others[index % others.length] ?? here
    const user = `@member${index}:${server.identity.name}`
    const frame = eventFrame(roomId, user, core.length + 1 + index, core.slice(-1), auth)
    const content = { membership: 'join', displayname: `Member ${index}` }
    yield signEvent({ ...frame, type: 'm.room.member', state_key: user, content }, server)
  }
}

function message(
  { here, members }: RoomPlan,
  roomId: string,
  creator: string,
  core: readonly SignedEvent[],
  index: number,
): SignedEvent {
  const auth = core.slice(0, 3)
  const frame = eventFrame(roomId, creator, core.length + members, core.slice(-1), auth)
  return signEvent({ ...frame, type: 'm.room.message', content: { msgtype: 'm.text', body: `message ${index}` } }, here)
}

function eventFrame(
  roomId: string,
  sender: string,
  depth: number,
  before: readonly SignedEvent[],
  auth: readonly SignedEvent[],
): JsonRecord {
  return {
    room_id: roomId,
    sender,
    depth,
    origin_server_ts: SINCE + depth,
    prev_events: before.map(({ eventId }) => eventId),
    auth_events: auth.map(({ eventId }) => eventId),
  }
}

/** A user who knocks. */
export interface Knocker {
  readonly userId: string
  readonly server: Signer
}

/** A signed knock, with the room and the user that it is of. */
export interface RoomKnock {
  readonly room: BenchRoom
  readonly knocker: Knocker
  readonly event: SignedEvent
}

/**
 * A signed knock.
 * @param prevEvents the extremities that it builds on; the room's tips where nothing else is said
 * @param more of its content
 */
export function knockOn(
  room: BenchRoom,
  { userId, server }: Knocker,
  prevEvents: readonly string[] = room.tips.map(({ eventId }) => eventId),
  more: JsonRecord = {},
): SignedEvent {
  const [create, , powerLevels, joinRules] = room.core
  const deepest = Number(room.tips[0]?.pdu.depth)
  const frame = eventFrame(
    room.roomId,
    userId,
    deepest + 1,
    [],
    [create, powerLevels, joinRules].flatMap((event) => event ?? []),
  )
  const content = { membership: 'knock', reason: 'may I come in?', displayname: 'Somebody', ...more }
  return signEvent(
    {
      ...frame,
      type: 'm.room.member',
      state_key: userId,
      content,
      prev_events: prevEvents,
      origin_server_ts: Date.now(),
    },
    server,
  )
}

/** The request for a template, as it goes on the wire. */
export function makeKnockRequest({ roomId }: BenchRoom, { userId, server }: Knocker, here: string): string {
  return signedRequest(server, here, { method: 'GET', uri: makeKnockPath(roomId, userId, ...OFFERED) })
}

/** The request that brings a signed knock, as it goes on the wire. */
export function sendKnockRequest({ room, knocker, event }: RoomKnock, here: string): string {
  const uri = sendKnockPath(room.roomId, event.eventId)
  return signedRequest(knocker.server, here, { method: 'PUT', uri, content: event.pdu })
}
