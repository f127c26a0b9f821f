/**
 * Requests to a homeserver in its own name, with its own signing key: how a service beside it reads rooms and hands
 * events over without an account.
 * https://spec.matrix.org/latest/server-server-api/#request-authentication
 */
import { randomUUID } from 'node:crypto'
import { idOf, KNOCKABLE_VERSIONS, type SignedEvent, type TestedVersion } from '../../support/events.ts'
import type { Answer } from '../../support/http-client.ts'
import type { JsonRecord } from '../../support/signing.ts'
import type { Person } from '../../support/test-room.ts'
import type { Homeserver } from './homeserver.ts'
import { sendSigned } from './web-request.ts'

const API = '/_matrix/federation/v1'

/** A request as the homeserver itself, to where it listens. */
export function asItself(
  { clientUrl, identity, name }: Homeserver,
  method: string,
  path: string,
  content?: JsonRecord,
): Promise<Answer> {
  return sendSigned({ url: clientUrl }, identity, name, method, `${API}${path}`, content)
}

export function makeLeave(homeserver: Homeserver, roomId: string, userId: string): Promise<Answer> {
  return asItself(homeserver, 'GET', `/make_leave/${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}`)
}

export function makeJoin(homeserver: Homeserver, roomId: string, userId: string): Promise<Answer> {
  const versions = KNOCKABLE_VERSIONS.map((version) => `ver=${version}`).join('&')
  const path = `/make_join/${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}?${versions}`
  return asItself(homeserver, 'GET', path)
}

/** The ids that the next event would come after. @throws Error where the homeserver does not tell */
export async function lastEvents(homeserver: Homeserver, roomId: string, local: string): Promise<readonly string[]> {
  const template = good(await makeLeave(homeserver, roomId, local)).event as JsonRecord
  return template.prev_events as readonly string[]
}

export function stateAt(
  homeserver: Homeserver,
  what: 'state' | 'state_ids',
  roomId: string,
  eventId: string,
): Promise<Answer> {
  return asItself(homeserver, 'GET', `/${what}/${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(eventId)}`)
}

export function readEvent(homeserver: Homeserver, eventId: string): Promise<Answer> {
  return asItself(homeserver, 'GET', `/event/${encodeURIComponent(eventId)}`)
}

/** Puts events into a room by a transaction of the homeserver to itself. */
export function inject(homeserver: Homeserver, ...events: readonly SignedEvent[]): Promise<Answer> {
  const pdus = events.map(({ pdu }) => pdu)
  const content = { origin: homeserver.name, origin_server_ts: Date.now(), pdus }
  return asItself(homeserver, 'PUT', `/send/knock-${randomUUID()}`, content)
}

/** What a room is now, as far as its homeserver tells itself. */
export interface OwnView {
  readonly version: TestedVersion
  readonly prevEvents: readonly string[]
  /** What an event after `prevEvents` has. */
  readonly depth: number
  /** The current state by type and state key, from one of the last events. */
  state(type: string, stateKey?: string): SignedEvent | undefined
}

/**
 * Reads a room.
 * @param local a joined user of the homeserver
 * @throws Error where the homeserver does not tell
 */
export async function readRoom(homeserver: Homeserver, roomId: string, local: string): Promise<OwnView> {
  const left = good(await makeLeave(homeserver, roomId, local))
  const version = String(left.room_version) as TestedVersion
  const template = left.event as JsonRecord
  const prevEvents = template.prev_events as readonly string[]
  const tip = prevEvents[0] ?? ''
  const before = good(await stateAt(homeserver, 'state', roomId, tip)).pdus as readonly JsonRecord[]
  const [last] = good(await readEvent(homeserver, tip)).pdus as readonly JsonRecord[]
  // The tip comes last and counts, whether the homeserver told the state before it or after it.
  const pdus = last?.state_key === undefined ? before : [...before, last]
  const slots = new Map(pdus.map((pdu) => [`${pdu.type}|${pdu.state_key}`, { eventId: idOf(pdu, version), pdu }]))
  const depth = Number(template.depth)
  return { version, prevEvents, depth, state: (type, stateKey = '') => slots.get(`${type}|${stateKey}`) }
}

/** A knock to sign, in the room as it is now. */
export function draftKnock(homeserver: Homeserver, roomId: string, local: string, { id }: Person): Promise<JsonRecord> {
  const content = { membership: 'knock', reason: 'may I come in?' }
  return draftEvent(homeserver, roomId, local, { type: 'm.room.member', sender: id, stateKey: id, content })
}

export interface Draft {
  readonly type: string
  readonly sender: string
  /** Without it: no state. */
  readonly stateKey?: string
  readonly content: JsonRecord
}

/** Any event to sign, in the room as it is now. */
export async function draftEvent(
  homeserver: Homeserver,
  roomId: string,
  local: string,
  { type, sender, stateKey, content }: Draft,
): Promise<JsonRecord> {
  const { version, prevEvents, depth, state } = await readRoom(homeserver, roomId, local)
  // https://spec.matrix.org/latest/server-server-api/#auth-events-selection
  const asksRules = type === 'm.room.member' && ['join', 'invite', 'knock'].includes(String(content.membership))
  const authority = [
    ...(version === '12' ? [] : [state('m.room.create')]),
    state('m.room.power_levels'),
    ...(asksRules ? [state('m.room.join_rules')] : []),
    ...(type === 'm.room.member' ? [state('m.room.member', stateKey)] : []),
    state('m.room.member', sender),
  ]
  return {
    type,
    room_id: roomId,
    sender,
    ...(stateKey !== undefined && { state_key: stateKey }),
    content,
    origin_server_ts: Date.now(),
    depth,
    prev_events: prevEvents,
    auth_events: [...new Set(authority.flatMap((event) => event?.eventId ?? []))],
  }
}

function good({ status, body, text }: Answer): JsonRecord {
  if (status !== 200) throw new Error(`the homeserver answered itself ${status} ${text}`)
  return body
}
