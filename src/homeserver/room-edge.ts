/**
 * Where a room stands on the homeserver: its version and its forward extremities, asked for as one of its joined users.
 * https://spec.matrix.org/latest/server-server-api/#leaving-rooms-rejecting-invites
 */
import type { EventId, RoomId, UserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { type RoomVersion, roomVersion } from '../matrix/room-versions.ts'
import { type FlawedEvent, isDepth, namedEvent, readRoomEvent, type SoundEvent } from '../rooms/room-event.ts'
import { readRoomFile } from '../rooms/room-file.ts'
import type { HomeserverAnswer, HomeserverClient } from './homeserver-client.ts'

/** The forward extremities of a room, by their ids. */
export interface RoomEnds {
  readonly kind: 'ends'
  readonly version: RoomVersion
  readonly ids: readonly EventId[]
  /** That of the deepest, where the homeserver tells. */
  readonly depth: number | undefined
  /** Joined on the homeserver: requests in this user's name are answered. */
  readonly user: UserId
}

/** The same with the events themselves. */
export interface RoomEdge extends Omit<RoomEnds, 'kind'> {
  readonly kind: 'edge'
  /** Those to build upon, at least one: where none can be read, all of them by their ids. */
  readonly extremities: readonly [SoundEvent, ...SoundEvent[]]
  /** What is known of each end, in the order of `ids`. */
  readonly ends: readonly NamedEvent[]
}

/** An event that the homeserver gave under an id: computed anew, or why it cannot be used. */
export type NamedEvent = UsableEvent | UnusableEvent

export interface UsableEvent {
  readonly kind: 'event'
  readonly eventId: string
  readonly event: SoundEvent
}

export interface UnusableEvent {
  readonly kind: 'flawed'
  /** Undefined where it came without one. */
  readonly eventId: string | undefined
  readonly flaw: FlawedEvent
}

/** The homeserver does not have the room, or is not in it. */
export interface Absent {
  readonly kind: 'absent'
  /** It said no more than that nobody is in it of those who were named: others may be. */
  readonly othersMayBeIn: boolean
}

/** Nothing can be said of the room now. The reason is for the operator. */
export interface Unavailable {
  readonly kind: 'unavailable'
  readonly reason: string
}

/** An endpoint's answer that was not what it should be. */
export function unusable(what: string, answer: HomeserverAnswer): Unavailable {
  if (answer.kind === 'failed') return { kind: 'unavailable', reason: `${what}: ${answer.reason}` }
  const errcode = typeof answer.body?.errcode === 'string' ? ` ${answer.body.errcode}` : ''
  return { kind: 'unavailable', reason: `${what} answers ${answer.status}${errcode}` }
}

/** Synapse's word for rooms that it has joined and whose state it does not have yet. */
const PARTIAL_STATE = 'ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE'

/** The homeserver says no, and not that it cannot say now. */
export function isRefusal(answer: HomeserverAnswer): boolean {
  return answer.kind === 'answered' && [400, 403, 404].includes(answer.status) && answer.body?.errcode !== PARTIAL_STATE
}

/** @param users who may be joined; they are tried in this order @param deadline absolute time in milliseconds */
export async function readRoomEnds(
  client: HomeserverClient,
  roomId: RoomId,
  users: readonly UserId[],
  deadline: number,
): Promise<RoomEnds | Absent | Unavailable> {
  for (const user of users) {
    const path = `/_matrix/federation/v1/make_leave/${encodeURIComponent(roomId)}/${encodeURIComponent(user)}`
    const answer = await client.get(path, deadline)
    if (answer.kind === 'failed') return unusable('make_leave', answer)
    if (answer.status === 200) return readTemplate(user, answer.body)
    if (answer.status === 404) return { kind: 'absent', othersMayBeIn: false }
    // Not a member: another of ours may be one.
    if (isRefusal(answer)) continue
    const unknown = answer.status === 500 && (await isUnknown(client, roomId, deadline))
    return unknown ? { kind: 'absent', othersMayBeIn: false } : unusable('make_leave', answer)
  }
  return { kind: 'absent', othersMayBeIn: true }
}

/**
 * Dendrite answers 500 to templates for rooms that it does not know, as homeservers do that are out of order. What came
 * before an event that nobody has is 404 there, and 200 in rooms that are known.
 */
async function isUnknown(client: HomeserverClient, roomId: RoomId, deadline: number): Promise<boolean> {
  const noEvent = `$${'A'.repeat(43)}`
  const query = `v=${encodeURIComponent(noEvent)}&limit=1`
  const answer = await client.get(`/_matrix/federation/v1/backfill/${encodeURIComponent(roomId)}?${query}`, deadline)
  return answer.kind === 'answered' && answer.status === 404
}

function readTemplate(user: UserId, body: JsonObject | undefined): RoomEnds | Unavailable {
  const version = typeof body?.room_version === 'string' ? roomVersion(body.room_version) : undefined
  const named = isJsonObject(body?.event) ? body.event.prev_events : undefined
  if (version === undefined)
    return { kind: 'unavailable', reason: 'make_leave names no room version that is known here' }
  if (!Array.isArray(named) || named.length === 0) {
    return { kind: 'unavailable', reason: 'make_leave names no prev_events' }
  }
  // In versions 1 and 2, in which nobody can knock, an id comes with its hash.
  const ids = named.map((id: unknown) => String(Array.isArray(id) ? id[0] : id) as EventId)
  const next = isJsonObject(body?.event) ? body.event.depth : undefined
  const depth = isDepth(next) ? Math.max(next - 1, 0) : undefined
  return { kind: 'ends', version, ids, depth, user }
}

/** The events that the ends of a room name. */
export async function readRoomEdge(
  client: HomeserverClient,
  roomId: RoomId,
  { version, ids, depth, user }: RoomEnds,
  deadline: number,
): Promise<RoomEdge | Unavailable> {
  const found: NamedEvent[] = []
  for (const id of ids) {
    const read = await readEvent(client, roomId, version, id, deadline)
    if (read.kind === 'unavailable') return read
    found.push(read)
  }
  const usable = found.flatMap((end) => (end.kind === 'event' ? end.event : []))
  const named = depth !== undefined && found.every(isPlaced) ? ids.map((id) => namedEvent(id, depth)) : []
  const [first, ...others] = usable.length > 0 ? usable : named
  if (first !== undefined)
    return { kind: 'edge', version, user, ids, depth, extremities: [first, ...others], ends: found }
  const [flawed] = found.flatMap((end) => (end.kind === 'flawed' ? end.flaw : []))
  return { kind: 'unavailable', reason: `none of its last events can be used: ${flawed?.reason}` }
}

/** What it does to the state can be told: it closes the place that it names, or has none. */
function isPlaced(end: NamedEvent): boolean {
  if (end.kind === 'event') return true
  const { foreign, slot, stateless } = end.flaw
  return !foreign && (slot !== undefined || stateless === true)
}

/** One event by its id, computed anew. */
export async function readEvent(
  client: HomeserverClient,
  roomId: RoomId,
  version: RoomVersion,
  eventId: string,
  deadline: number,
): Promise<NamedEvent | Unavailable> {
  const answer = await client.get(`/_matrix/federation/v1/event/${encodeURIComponent(eventId)}`, deadline)
  if (answer.kind === 'failed' || answer.status !== 200) return unusable('event', answer)
  const pdu = await firstPdu(answer.bytes)
  if (pdu === undefined) return { kind: 'unavailable', reason: `event gives no PDU for ${eventId}` }
  const read = readRoomEvent(pdu, roomId, version)
  if (read.ok && read.event.eventId === eventId) return { kind: 'event', eventId, event: read.event }
  const flaw = read.ok ? givenInstead(read.event) : read.flaw
  return { kind: 'flawed', eventId, flaw: { ...flaw, reason: `event ${eventId}: ${flaw.reason}` } }
}

/** The bytes of the first PDU of an answer, whatever it holds. */
async function firstPdu(answer: Uint8Array): Promise<Uint8Array | undefined> {
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield answer
  }
  for await (const part of readRoomFile(whole())) {
    if (part.kind === 'item' && part.key === 'pdus') return part.bytes
  }
  return undefined
}

function givenInstead({ eventId, pdu: { type, state_key: stateKey } }: SoundEvent): FlawedEvent {
  const slot = stateKey === undefined ? undefined : { type, stateKey }
  return { reason: `what was given is ${eventId}`, slot, foreign: true }
}

/** The ids of the state at an event. */
export async function readStateIds(
  client: HomeserverClient,
  roomId: RoomId,
  eventId: string,
  deadline: number,
): Promise<{ readonly kind: 'ids'; readonly ids: ReadonlySet<string> } | Unavailable> {
  const path = `/_matrix/federation/v1/state_ids/${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(eventId)}`
  const answer = await client.get(path, deadline)
  const ids = answer.kind === 'answered' && answer.status === 200 ? answer.body?.pdu_ids : undefined
  return Array.isArray(ids) ? { kind: 'ids', ids: new Set(ids.map(String)) } : unusable('state_ids', answer)
}
