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
  // 1.1: If it has any prev_events, reject.
  if (create.prev_events.length > 0) return rejected(version, '1.1', 'the create event has prev_events')
  // 1.2: If the domain of the room_id does not match the domain of the sender, reject.
  // In version 12: If the event has a room_id, reject. The format check has done that.
  if (!version.hashRoomId && domainOf(create.room_id ?? '') !== domainOf(create.sender)) {
    return rejected(version, '1.2', 'the room id is not of the server of the creator')
  }
  // 1.3: If content.room_version is present and is not a recognised version, reject.
  const named = content.room_version ?? UNNAMED_VERSION
  if (named !== version.id) {
    return rejected(version, '1.3', `the create event names room version ${JSON.stringify(named)}, not ${version.id}`)
  }
  // 1.4, up to version 10: If content has no creator property, reject.
  if (version.createNamesCreator && content.creator === undefined) {
    return rejected(version, '1.4', 'the create event names no creator')
  }
  // 1.4, in version 12: If additional_creators is present in content and is not an array of strings where each passes the
  // same user ID validation applied to sender, reject.
  const { additional_creators: creators } = content
  if (version.hashRoomId && creators !== undefined && !areUserIds(creators)) {
    return rejected(version, '1.4', 'additional_creators is not a list of user ids')
  }
  // The last of rule 1: Otherwise, allow.
  return { allowed: true, rule: cite(version, '1') }
}

function domainOf(id: string): string {
  return id.slice(id.indexOf(':'))
}

function areUserIds(value: JsonValue): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && parseUserId(item) !== undefined)
}
