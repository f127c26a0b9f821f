/**
 * `make_knock` where no room can be read: what the request says of itself is checked, and the room's rules and the event
 * template are left to the homeserver.
 * https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1make_knockroomiduserid
 */
import { serverNameOf } from '../../matrix/identifiers.ts'
import type { Refusal } from '../../matrix/refusal.ts'
import {
  type MakeKnockAnswer,
  type MakeKnockRequest,
  negotiateVersion,
  USER_OF_ANOTHER_SERVER,
  VER_MISSING,
} from '../make-knock.ts'
import { askForTemplate } from '../upstream-template.ts'
import { type PassOnPorts, recordPassedOn } from './ports.ts'

/** Answers one authenticated make_knock. A refusal is recorded, a template changes nothing. */
export async function passOnMakeKnock(
  ports: PassOnPorts,
  request: MakeKnockRequest,
): Promise<MakeKnockAnswer | Refusal> {
  if (request.versions.length === 0) return VER_MISSING
  const outcome = await decide(ports, request)
  if (!outcome.ok) {
    const { origin, roomId, userId } = request
    const asked = { endpoint: 'make_knock', origin, roomId, userId, eventId: undefined } as const
    recordPassedOn(ports, asked, outcome, ports.versions.of(roomId))
  }
  return outcome
}

async function decide(ports: PassOnPorts, request: MakeKnockRequest): Promise<MakeKnockAnswer | Refusal> {
  const { origin, roomId, userId, versions } = request
  if (serverNameOf(userId) !== origin) return USER_OF_ANOTHER_SERVER
  const refused = ports.limits.check(request)
  if (refused !== undefined) return refused
  const template = await askForTemplate(ports.upstream, request)
  if (!template.ok) return template
  // Some homeservers give a template whatever the remote supports.
  const version = negotiateVersion({ version: template.roomVersion }, versions)
  if (!version.ok) return version
  ports.versions.saw(roomId, version.version)
  return { ok: true, template: { room_version: version.version.id, event: template.event } }
}
