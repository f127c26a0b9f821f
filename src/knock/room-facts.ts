/**
 * What a knock reads of a room beside members and extremities, decoded once per change of the room's facts.
 * https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */
import { parseServerName, type ServerName } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import type { RoomEvent } from '../matrix/pdu.ts'
import { type RoomVersion, roomVersion } from '../matrix/room-versions.ts'
import { compileServerAcl, type ServerAcl } from '../matrix/server-acl.ts'
import { knockRoomState } from '../matrix/stripped-state.ts'
import { DECIDING_TYPES } from './fact-types.ts'
import type { FactFlaw, RoomFactsRecord } from './ports/rooms.ts'

export interface RoomFacts {
  readonly factsRevision: number
  readonly create: RoomEvent
  readonly joinRules: RoomEvent | undefined
  readonly powerLevels: RoomEvent | undefined
  /** Every one of them must let a server in. There are several where the branches of the room differ. */
  readonly acls: readonly ServerAcl[]
  /** The servers that policy events name with a key; each counts while it has a joined user. */
  readonly policyServers: readonly ServerName[]
  /** The body of a successful send_knock answer, serialised. */
  readonly sendKnockResponse: string
}

/** A room for which we cannot answer. The reason is for the operator. */
export interface UnusableFacts {
  readonly unusable: string
}

/** Decodes a room's facts, unless the create event is missing, or one that decides cannot be used. */
export function decodeRoomFacts(record: RoomFactsRecord): RoomFacts | UnusableFacts {
  const reason = reasonToClose(record.flaws)
  if (reason !== undefined) return { unusable: reason }
  const state = new Map(record.state.map((event) => [event.pdu.type, event]))
  const create = state.get('m.room.create')
  if (create === undefined) return { unusable: 'the room has no m.room.create event' }
  const contentsOf = (wanted: string) => record.state.flatMap(({ pdu }) => (pdu.type === wanted ? [pdu.content] : []))
  return {
    factsRevision: record.factsRevision,
    create,
    joinRules: state.get('m.room.join_rules'),
    powerLevels: state.get('m.room.power_levels'),
    acls: contentsOf('m.room.server_acl').map(compileServerAcl),
    policyServers: contentsOf('m.room.policy').flatMap((content) => policyServerOf(content) ?? []),
    sendKnockResponse: JSON.stringify({ knock_room_state: knockRoomState(state) }),
  }
}

/** Why nobody can knock on a room, where an event that decides cannot be used. For the operator. */
export function reasonToClose(flaws: readonly FactFlaw[]): string | undefined {
  const decisive = flaws.find(({ type }) => (DECIDING_TYPES as readonly string[]).includes(type))
  return decisive && `the room's ${decisive.type} event cannot be used: ${decisive.reason}`
}

/** https://spec.matrix.org/latest/server-server-api/#policy-servers */
function policyServerOf({ via, public_keys: keys }: JsonObject): ServerName | undefined {
  if (typeof via !== 'string' || !isJsonObject(keys) || typeof keys.ed25519 !== 'string') return undefined
  return parseServerName(via)
}

/** The room version of that name if users can knock in it. */
export function knockableVersion(id: string): RoomVersion | undefined {
  const version = roomVersion(id)
  return version?.knockRule === undefined ? undefined : version
}
