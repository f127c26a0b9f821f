/**
 * What a knock reads of a room beside members and extremities, decoded once per change of the room's facts.
 * https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */
import type { RoomEvent } from '../matrix/event.ts'
import { parseServerName, type ServerName } from '../matrix/identifiers.ts'
import { isJsonObject } from '../matrix/json.ts'
import { type RoomVersion, roomVersion } from '../matrix/room-versions.ts'
import { compileServerAcl, type ServerAcl } from '../matrix/server-acl.ts'
import { knockRoomState } from '../matrix/stripped-state.ts'
import type { RoomFactsRecord } from './ports.ts'

export interface RoomFacts {
  readonly factsRevision: number
  readonly create: RoomEvent
  readonly joinRules: RoomEvent | undefined
  readonly powerLevels: RoomEvent | undefined
  readonly acl: ServerAcl | undefined
  /** The server that a policy event names with a key; it counts while it has a joined user. */
  readonly policyServer: ServerName | undefined
  /** The body of a successful send_knock answer, serialised. */
  readonly sendKnockResponse: string
}

/** Without the event that said whom they keep out, nobody can be let in. */
const NEVER_WITHOUT = ['m.room.create', 'm.room.server_acl', 'm.room.policy']

/** A room for which we cannot answer. The reason is for the operator. */
export interface UnusableFacts {
  readonly unusable: string
}

/** Decodes a room's facts, unless the create event is missing, or one that keeps others out had to be set aside. */
export function decodeRoomFacts(record: RoomFactsRecord): RoomFacts | UnusableFacts {
  const lost = NEVER_WITHOUT.find((type) => record.setAside.includes(type))
  if (lost !== undefined)
    return { unusable: `the signature of the room's ${lost} event is wrong: import the room again` }
  const state = new Map(record.state.map((event) => [event.pdu.type, event]))
  const create = state.get('m.room.create')
  if (create === undefined) return { unusable: 'the room has no m.room.create event' }
  const acl = state.get('m.room.server_acl')
  return {
    factsRevision: record.factsRevision,
    create,
    joinRules: state.get('m.room.join_rules'),
    powerLevels: state.get('m.room.power_levels'),
    acl: acl && compileServerAcl(acl.pdu.content),
    policyServer: policyServerOf(state.get('m.room.policy')),
    sendKnockResponse: JSON.stringify({ knock_room_state: knockRoomState(state) }),
  }
}

/** https://spec.matrix.org/latest/server-server-api/#policy-servers */
function policyServerOf(policy: RoomEvent | undefined): ServerName | undefined {
  const { via, public_keys: keys } = policy?.pdu.content ?? {}
  if (typeof via !== 'string' || !isJsonObject(keys) || typeof keys.ed25519 !== 'string') return undefined
  return parseServerName(via)
}

/** The room version of that name if users can knock in it. */
export function knockableVersion(id: string): RoomVersion | undefined {
  const version = roomVersion(id)
  return version?.knockRule === undefined ? undefined : version
}
