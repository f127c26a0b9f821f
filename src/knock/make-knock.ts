/**
 * `make_knock`: may this user knock, and if so, the event template to sign.
 * https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1make_knockroomiduserid
 */
import { type ServerName, serverNameOf } from '../matrix/identifiers.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'
import { decisionFacts, decisionOf } from './decision.ts'
import type { KnockPorts } from './knock-ports.ts'
import type { ClosedRoom, OpenRoom } from './open-room.ts'
import type { RoomHead } from './ports/rooms.ts'
import {
  asOpen,
  checkServer,
  forbidden,
  judgeCurrentState,
  knockBy,
  notAvailable,
  refusePolicyServer,
  refuseUnknownMembership,
  requireKnockableVersion,
} from './room-checks.ts'
import type { RoomToKnockOn, Template } from './templates.ts'
import type { TemplateQuestion } from './upstream-template.ts'

/** Its deadline is after which the homeserver is no longer waited for; its original may have to be sent on. */
export interface MakeKnockRequest extends TemplateQuestion {
  /** The authenticated server. */
  readonly origin: ServerName
  /** The values of `ver`, decoded: room versions that the caller supports, as opaque names. */
  readonly versions: readonly string[]
}

export type MakeKnockAnswer = Template

type Opened = OpenRoom | ClosedRoom | undefined

/** How often a room is looked at anew because the homeserver's template names events that are not known here. */
const MAX_ROUNDS = 3

/** Answers one authenticated make_knock. A refusal is recorded, a template changes nothing. */
export async function makeKnock(ports: KnockPorts, request: MakeKnockRequest): Promise<MakeKnockAnswer | Refusal> {
  if (request.versions.length === 0) return VER_MISSING
  const { outcome, room } = await decide(ports, request)
  if (!outcome.ok) {
    const { origin, roomId, userId } = request
    const asked = { endpoint: 'make_knock', origin, roomId, userId, eventId: undefined } as const
    ports.store.recordDecision(decisionOf(asked, outcome, decisionFacts(asOpen(room)), ports.clock()))
  }
  return outcome
}

/** Decides on the room as it is known, and where the homeserver's template is ahead of that, on the room read anew. */
async function decide(
  ports: KnockPorts,
  request: MakeKnockRequest,
): Promise<{ readonly outcome: MakeKnockAnswer | Refusal; readonly room: Opened }> {
  const { origin, roomId, userId, deadline } = request
  let room = await ports.rooms.open(roomId, userId, { origin, deadline })
  let outcome = await answerFrom(ports, request, room, 'as it was')
  for (let round = 1; round < MAX_ROUNDS && outcome === 'ahead'; round++) {
    room = await ports.rooms.open(roomId, userId, { origin, deadline, notBefore: ports.clock() })
    outcome = await answerFrom(ports, request, room, 'anew')
  }
  return { outcome: outcome === 'ahead' ? STILL_AHEAD : outcome, room }
}

const STILL_AHEAD = notAvailable(
  'homeserver: template',
  'make_knock names events that the room as it is read does not have',
)

async function answerFrom(
  ports: KnockPorts,
  request: MakeKnockRequest,
  opened: Opened,
  read: RoomToKnockOn['read'],
): Promise<MakeKnockAnswer | Refusal | 'ahead'> {
  const { origin, roomId, userId, versions } = request
  const room = checkServer(opened, origin)
  if (!room.ok) return room
  if (serverNameOf(userId) !== origin) return USER_OF_ANOTHER_SERVER
  const version = negotiateVersion(room.head, versions)
  if (!version.ok) return version
  const unknown = refuseUnknownMembership(room)
  if (unknown !== undefined) return unknown
  const verdict = judgeCurrentState(knockBy(userId, roomId), room.facts, room.member, version.version)
  if (!verdict.allowed) return forbidden(verdict)
  const refused = (await refusePolicyServer(ports, roomId, room.facts)) ?? ports.limits.check(request)
  if (refused !== undefined) return refused
  return ports.templates.write(request, { room, version: version.version, read })
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
