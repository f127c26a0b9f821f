/**
 * What a homeserver that asks itself is answered, as Synapse and as Dendrite do it: docs/homeservers.md says what was
 * measured. https://spec.matrix.org/latest/server-server-api/#retrieving-events
 */
import {
  authEventsOfJoin,
  findEvent,
  isJoined,
  mayKnock,
  type ResidentRoom,
  stateAt,
  tipsOf,
} from './resident-rooms.ts'
import type { Identity, JsonRecord } from './signing.ts'

export type Character = 'synapse' | 'dendrite'

export type Call =
  | 'make_leave'
  | 'make_join'
  | 'make_knock'
  | 'state'
  | 'state_ids'
  | 'event'
  | 'timestamp_to_event'
  | 'backfill'
  | 'send'
  | 'send_knock'
  | 'ping'
  | 'version'

/** What the answers are made of. */
export interface Resident {
  readonly identity: Identity
  readonly character: Character
  /** Refuses make_join even for joined users. */
  readonly joinsRefused: boolean
  readonly rooms: ReadonlyMap<string, ResidentRoom>
}

export interface Asked {
  readonly call: Call | undefined
  /** The segments after the call, decoded. */
  readonly first: string
  readonly second: string
  readonly query: URLSearchParams
}

export interface Told {
  readonly status: number
  readonly body: JsonRecord
}

const EXTREMITIES: Readonly<Record<Character, number>> = { synapse: 10, dendrite: 20 }

/** By call, for those that only read. */
export const READ: Readonly<Record<string, (resident: Resident, asked: Asked) => Told>> = {
  make_leave: (resident, asked) => template(resident, asked, 'make_leave'),
  make_join: (resident, asked) => template(resident, asked, 'make_join'),
  make_knock: knockTemplate,
  state(resident, asked) {
    const state = readState(resident, asked)
    if (!(state instanceof Map)) return state as Told
    const chain = authChain(
      resident,
      asked.first,
      [...state.values()].map(({ eventId }) => eventId),
    )
    return {
      status: 200,
      body: { pdus: [...state.values()].map(({ pdu }) => noted(resident, pdu)), auth_chain: chain },
    }
  },
  state_ids(resident, asked) {
    const state = readState(resident, asked)
    if (!(state instanceof Map)) return state as Told
    return { status: 200, body: { pdu_ids: [...state.values()].map(({ eventId }) => eventId), auth_chain_ids: [] } }
  },
  event(resident, { first: eventId }) {
    for (const room of resident.rooms.values()) {
      const event = findEvent(room, eventId)
      if (event === undefined) continue
      if (room.left && resident.character === 'synapse') return refuses(403, 'M_FORBIDDEN')
      return { status: 200, body: { origin: resident.identity.name, pdus: [noted(resident, event.pdu)] } }
    }
    return refuses(404, 'M_NOT_FOUND')
  },
  timestamp_to_event(resident, { first }) {
    const room = resident.rooms.get(first)
    if (resident.character === 'dendrite') return refuses(404, 'M_UNRECOGNIZED')
    if (room === undefined || room.left) return refuses(404, 'M_NOT_FOUND')
    return { status: 200, body: { event_id: tipsOf(room)[0] ?? '' } }
  },
  backfill(resident, { first }) {
    const room = resident.rooms.get(first)
    if (room !== undefined && !room.left) return { status: 200, body: { pdus: [] } }
    return resident.character === 'synapse' ? refuses(403, 'M_FORBIDDEN') : refuses(404, 'M_NOT_FOUND')
  },
}

/** What a homeserver notes beside an event when it hands it out. */
function noted({ character }: Resident, pdu: JsonRecord): JsonRecord {
  return character === 'synapse' ? { ...pdu, unsigned: { age: 17 } } : pdu
}

/** Statuses for rooms that are not there: unknown, and left. */
const MISSING: Readonly<Record<Character, Readonly<Record<string, readonly [number, number]>>>> = {
  synapse: { make_leave: [404, 403], make_join: [404, 404], state: [403, 403] },
  dendrite: { make_leave: [500, 404], make_join: [500, 404], state: [404, 404] },
}

function missing({ character }: Resident, room: ResidentRoom | undefined, call: string): Told {
  const [unknown, left] = MISSING[character][call] ?? [404, 404]
  const status = room === undefined ? unknown : left
  if (status === 500) return { status, body: { Err: '' } }
  return refuses(status, status === 404 ? 'M_NOT_FOUND' : 'M_FORBIDDEN')
}

function template(resident: Resident, { first, second: userId }: Asked, call: 'make_leave' | 'make_join'): Told {
  const room = resident.rooms.get(first)
  if (room === undefined || room.left) return missing(resident, room, call)
  const isLocal = userId.endsWith(`:${resident.identity.name}`)
  const anyLocal = call === 'make_leave' && resident.character === 'dendrite'
  if (!isLocal || !(anyLocal || isJoined(room, userId))) return refuses(403, 'M_FORBIDDEN')
  if (call === 'make_join' && resident.joinsRefused) return refuses(400, 'M_UNABLE_TO_AUTHORISE_JOIN')
  const named = tipsOf(room).slice(0, EXTREMITIES[resident.character])
  const depth = Math.max(...room.branches.map(({ tip }) => Number(tip.pdu.depth))) + 1
  const event = { prev_events: named, depth, auth_events: authEventsOfJoin(room, userId), room_id: first }
  return { status: 200, body: { room_version: room.resolved.version, event } }
}

/** As Synapse writes it, without `origin`; Dendrite has no knocking. */
function knockTemplate(resident: Resident, { first, second: userId, query }: Asked): Told {
  const { character, rooms } = resident
  const room = rooms.get(first)
  if (character === 'dendrite') return refuses(404, 'M_UNRECOGNIZED')
  if (room === undefined) return refuses(404, 'M_NOT_FOUND')
  const { version, authEventsFor } = room.resolved
  if (!query.getAll('ver').includes(version)) {
    const { status, body } = refuses(400, 'M_INCOMPATIBLE_ROOM_VERSION')
    return { status, body: { ...body, room_version: version } }
  }
  if (!mayKnock(room, userId)) return refuses(403, 'M_FORBIDDEN')
  const event = {
    ...{ type: 'm.room.member', room_id: first, sender: userId, state_key: userId, content: { membership: 'knock' } },
    ...{ prev_events: tipsOf(room).slice(0, EXTREMITIES.synapse), auth_events: authEventsFor(userId) },
    depth: Math.max(...room.branches.map(({ tip }) => Number(tip.pdu.depth))) + 1,
    // Told apart by it from a template that somebody else wrote.
    origin_server_ts: NATIVE_TEMPLATE_TIME,
  }
  return { status: 200, body: { room_version: version, event } }
}

/** `origin_server_ts` of each template that the fake homeserver writes for a knock, in milliseconds since the epoch. */
export const NATIVE_TEMPLATE_TIME = 1_700_000_000_123

function readState(
  resident: Resident,
  { first, query }: Asked,
): Told | ReadonlyMap<string, { eventId: string; pdu: JsonRecord }> {
  const room = resident.rooms.get(first)
  if (room === undefined || room.left) return missing(resident, room, 'state')
  const when = resident.character === 'synapse' ? 'before' : 'after'
  return stateAt(room, query.get('event_id') ?? '', when) ?? refuses(404, 'M_NOT_FOUND')
}

function authChain(resident: Resident, roomId: string, from: readonly string[]): readonly JsonRecord[] {
  const room = resident.rooms.get(roomId) as ResidentRoom
  const found = new Map<string, JsonRecord>()
  const open = [...from]
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const cited of (findEvent(room, id)?.pdu.auth_events ?? []) as readonly string[]) {
      if (found.has(cited)) continue
      found.set(cited, findEvent(room, cited)?.pdu ?? {})
      open.push(cited)
    }
  }
  return [...found.values()]
}

export function refuses(status: number, errcode: string): Told {
  return { status, body: { errcode, error: 'the fake homeserver says no' } }
}
