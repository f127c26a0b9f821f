/**
 * The authorisation rules for `m.room.create`, the first rule of every room version.
 * https://spec.matrix.org/latest/rooms/v12/#authorization-rules and its sisters
 */
import { parseUserId } from '../identifiers.ts'
import type { JsonValue } from '../json.ts'
import type { Pdu } from '../pdu.ts'
import type { RoomVersion } from '../room-versions.ts'
import { cite, rejected, type Verdict } from './verdict.ts'

/** The version of a room whose create event names none. */
const UNNAMED_VERSION = '1'

/**
 * Judges a create event in the format of its room version.
 * @param version the version that the room is said to have; the event must name the same
 */
export function authoriseCreate(create: Pdu, version: RoomVersion): Verdict {
  const { content } = create
  if (create.prev_events.length > 0) return rejected(version, '1.1', 'the create event has prev_events')
  if (!version.hashRoomId && domainOf(create.room_id ?? '') !== domainOf(create.sender)) {
    return rejected(version, '1.2', 'the room id is not of the server of the creator')
  }
  const named = content.room_version ?? UNNAMED_VERSION
  if (named !== version.id) {
    return rejected(version, '1.3', `the create event names room version ${JSON.stringify(named)}, not ${version.id}`)
  }
  if (version.createNamesCreator && content.creator === undefined) {
    return rejected(version, '1.4', 'the create event names no creator')
  }
  const { additional_creators: creators } = content
  if (version.hashRoomId && creators !== undefined && !areUserIds(creators)) {
    return rejected(version, '1.4', 'additional_creators is not a list of user ids')
  }
  return { allowed: true, rule: cite(version, '1') }
}

function domainOf(id: string): string {
  return id.slice(id.indexOf(':'))
}

function areUserIds(value: JsonValue): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && parseUserId(item) !== undefined)
}
