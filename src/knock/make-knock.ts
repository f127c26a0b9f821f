/**
 * `make_knock`: may this user knock, and if so, the event template to sign.
 * https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1make_knockroomiduserid
 */
import { selectAuthEvents } from '../matrix/auth/auth-events.ts'
import { MAX_AUTH_EVENTS, MAX_DEPTH, MAX_PREV_EVENTS } from '../matrix/event-format.ts'
import { type EventId, type RoomId, type ServerName, serverNameOf, type UserId } from '../matrix/identifiers.ts'
import type { JsonObject, JsonValue } from '../matrix/json.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import type { ClosedRoom, OpenRoom } from './open-room.ts'
import type { OriginalRequest, Upstream } from './ports/homeserver.ts'
import type { Extremity, RoomHead } from './ports/rooms.ts'
import type { KnockPorts } from './ports/use-cases.ts'
import {
  type AdmittedRoom,
  admitServer,
  asOpen,
  decisionFacts,
  forbidden,
  judgeCurrentState,
  knockBy,
  notAvailable,
  refusePolicyServer,
  refuseUnknownMembership,
  requireKnockableVersion,
} from './room-checks.ts'
import { askForTemplate, noTemplate } from './upstream-template.ts'

export interface MakeKnockRequest {
  /** The authenticated server. */
  readonly origin: ServerName
  readonly roomId: RoomId
  readonly userId: UserId
  /** The values of `ver`, decoded: room versions that the caller supports, as opaque names. */
  readonly versions: readonly string[]
  /** Absolute time in milliseconds after which the homeserver is no longer waited for. */
  readonly deadline: number
  /** The request as it came, where it may have to be sent on. */
  readonly original: OriginalRequest
}

export interface MakeKnockAnswer {
  readonly ok: true
  readonly template: { readonly room_version: string; readonly event: JsonObject }
}

/** How often a room is looked at anew because the homeserver's template names events that are not known here. */
const MAX_ATTEMPTS = 3

/** Answers one authenticated make_knock. A refusal is recorded, a template changes nothing. */
export async function makeKnock(ports: KnockPorts, request: MakeKnockRequest): Promise<MakeKnockAnswer | Refusal> {
  if (request.versions.length === 0) return VER_MISSING
  let room: OpenRoom | ClosedRoom | undefined
  let notBefore: number | undefined
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const { origin, deadline } = request
    const question = { origin, deadline, ...(notBefore !== undefined && { notBefore }) }
    room = await ports.rooms.open(request.roomId, request.userId, question)
    const outcome = await decide(ports, request, room, notBefore === undefined ? 'as it was' : 'anew')
    if (outcome !== 'ahead') {
      if (!outcome.ok) recordRefusal(ports, request, asOpen(room), outcome)
      return outcome
    }
    notBefore = ports.clock()
  }
  const busy = notAvailable('homeserver: template', 'make_knock names events that the room as it is read does not have')
  recordRefusal(ports, request, asOpen(room), busy)
  return busy
}

async function decide(
  ports: KnockPorts,
  request: MakeKnockRequest,
  opened: OpenRoom | ClosedRoom | undefined,
  read: 'as it was' | 'anew',
): Promise<MakeKnockAnswer | Refusal | 'ahead'> {
  const { origin, roomId, userId } = request
  const room = admitServer(opened, origin)
  if (!room.ok) return room
  if (serverNameOf(userId) !== origin) return USER_OF_ANOTHER_SERVER
  const version = negotiateVersion(room.head, request.versions)
  if (!version.ok) return version
  const unknown = refuseUnknownMembership(room)
  if (unknown !== undefined) return unknown
  const verdict = judgeCurrentState(knockBy(userId, roomId), room.facts, room.member, version.version)
  if (!verdict.allowed) return forbidden(verdict)
  const refused = (await refusePolicyServer(ports, roomId, room.facts)) ?? ports.policy.check(request)
  if (refused !== undefined) return refused
  if (ports.templates !== undefined) return upstreamTemplate(ports, request, { ...room, read }, ports.templates)
  const selection = await ports.rooms.extremities(room.head)
  if (selection === undefined || selection.extremities.length === 0) {
    return refusal('M_NOT_FOUND', 'The state of the room is not available', 'forward extremities known')
  }
  const event = buildTemplate(ports, request, room, version.version, selection.extremities)
  return { ok: true, template: { room_version: version.version.id, event } }
}

export const VER_MISSING = refusal('M_MISSING_PARAM', 'The query parameter ver is missing', 'make_knock: ver')

export const USER_OF_ANOTHER_SERVER = refusal(
  'M_FORBIDDEN',
  'The user does not belong to the requesting server',
  'make_knock: user of the origin',
)

/** The room's version, if the caller supports it and users can knock in it. */
export function negotiateVersion(
  room: Pick<RoomHead, 'version'>,
  versions: readonly string[],
): { ok: true; version: RoomVersion } | Refusal {
  if (!versions.includes(room.version)) {
    return refusal(
      'M_INCOMPATIBLE_ROOM_VERSION',
      'Your server does not support the version of the room',
      'make_knock: ver',
      { room_version: room.version },
    )
  }
  return requireKnockableVersion(room)
}

/**
 * The event that the remote completes and signs: neither signatures nor hashes, nor anything that it would carry into
 * the signed event unseen.
 */
function buildTemplate(
  ports: KnockPorts,
  { roomId, userId }: MakeKnockRequest,
  { facts, member }: AdmittedRoom,
  version: RoomVersion,
  extremities: readonly Extremity[],
): JsonObject {
  const deepest = Math.max(...extremities.map(({ depth }) => depth))
  return {
    type: 'm.room.member',
    room_id: roomId,
    sender: userId,
    state_key: userId,
    content: { membership: 'knock' },
    origin: ports.serverName,
    origin_server_ts: ports.clock(),
    depth: Math.min(deepest + 1, MAX_DEPTH),
    prev_events: extremities.map(({ eventId }) => eventId),
    auth_events: selectAuthEvents({ ...facts, member }, version),
  }
}

/**
 * The homeserver's template, if our own send_knock will know what it builds upon.
 * @returns `ahead` where the homeserver is further than the room as it was read
 */
async function upstreamTemplate(
  ports: KnockPorts,
  request: MakeKnockRequest,
  { head, read }: AdmittedRoom & { readonly read: 'as it was' | 'anew' },
  upstream: Upstream,
): Promise<MakeKnockAnswer | Refusal | 'ahead'> {
  const template = await askForTemplate(upstream, request)
  if (!template.ok) return template
  const { roomVersion, event } = template
  if (roomVersion !== head.version) return noTemplate('its room_version is not that of the room')
  const prevEvents = idsIn(event.prev_events, MAX_PREV_EVENTS)
  const authEvents = idsIn(event.auth_events, MAX_AUTH_EVENTS)
  if (prevEvents === undefined || authEvents === undefined || prevEvents.length === 0) {
    return noTemplate('its event does not name the events that it follows')
  }
  const question = { roomId: request.roomId, sender: request.userId, eventId: NO_EVENT, prevEvents, authEvents }
  const context = await ports.store.readContext(question)
  const known = prevEvents.filter((id) => context?.branches.has(id))
  if (known.length === 0 || !authEvents.every((id) => context?.authEvents.has(id))) return 'ahead'
  if (known.length === prevEvents.length) return { ok: true, template: { room_version: roomVersion, event } }
  if (read === 'as it was') return 'ahead'
  // A last event that cannot be used is not built upon, whatever the homeserver names.
  return { ok: true, template: { room_version: roomVersion, event: { ...event, prev_events: known } } }
}

/** The event of a template has no id yet. */
const NO_EVENT = '' as EventId

function idsIn(value: JsonValue | undefined, most: number): readonly EventId[] | undefined {
  if (!Array.isArray(value) || value.length > most) return undefined
  return value.every((id) => typeof id === 'string') ? (value as EventId[]) : undefined
}

function recordRefusal(
  ports: KnockPorts,
  { origin, roomId, userId }: MakeKnockRequest,
  room: OpenRoom | undefined,
  refused: Refusal,
): void {
  ports.store.recordDecision({
    time: ports.clock(),
    endpoint: 'make_knock',
    roomId,
    userId,
    origin,
    eventId: undefined,
    outcome: 'refused',
    status: refused.status,
    errcode: refused.errcode,
    rule: refused.rule,
    reason: refused.error,
    facts: decisionFacts(room),
  })
}
