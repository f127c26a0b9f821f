/**
 * Reference for redaction: one table per room version, written down from the room version pages.
 * https://spec.matrix.org/v1.19/rooms/
 */
import { isOracleObject, type OracleObject, objectOf, own } from './json-value.ts'

interface RedactionTable {
  readonly top: readonly string[]
  /** Content keys kept by event type; `all` keeps the whole content. */
  readonly content: ReadonlyMap<string, readonly string[] | 'all'>
  /** `content.third_party_invite` of member events keeps its `signed`. */
  readonly keepsSignedInvite: boolean
}

const POWER = ['ban', 'events', 'events_default', 'kick', 'redact', 'state_default', 'users', 'users_default']
const TOP_1 = [
  'event_id',
  'type',
  'room_id',
  'sender',
  'state_key',
  'content',
  'hashes',
  'signatures',
  'depth',
  'prev_events',
  'prev_state',
  'auth_events',
  'origin',
  'origin_server_ts',
  'membership',
]
const TOP_11 = [
  'event_id',
  'type',
  'room_id',
  'sender',
  'state_key',
  'content',
  'hashes',
  'signatures',
  'depth',
  'prev_events',
  'auth_events',
  'origin_server_ts',
]

const V1: RedactionTable = {
  top: TOP_1,
  content: new Map([
    ['m.room.member', ['membership']],
    ['m.room.create', ['creator']],
    ['m.room.join_rules', ['join_rule']],
    ['m.room.power_levels', POWER],
    ['m.room.aliases', ['aliases']],
    ['m.room.history_visibility', ['history_visibility']],
  ]),
  keepsSignedInvite: false,
}
const V6: RedactionTable = {
  top: TOP_1,
  content: new Map([
    ['m.room.member', ['membership']],
    ['m.room.create', ['creator']],
    ['m.room.join_rules', ['join_rule']],
    ['m.room.power_levels', POWER],
    ['m.room.history_visibility', ['history_visibility']],
  ]),
  keepsSignedInvite: false,
}
const V8: RedactionTable = {
  top: TOP_1,
  content: new Map([
    ['m.room.member', ['membership']],
    ['m.room.create', ['creator']],
    ['m.room.join_rules', ['join_rule', 'allow']],
    ['m.room.power_levels', POWER],
    ['m.room.history_visibility', ['history_visibility']],
  ]),
  keepsSignedInvite: false,
}
const V9: RedactionTable = {
  top: TOP_1,
  content: new Map([
    ['m.room.member', ['membership', 'join_authorised_via_users_server']],
    ['m.room.create', ['creator']],
    ['m.room.join_rules', ['join_rule', 'allow']],
    ['m.room.power_levels', POWER],
    ['m.room.history_visibility', ['history_visibility']],
  ]),
  keepsSignedInvite: false,
}
const V11: RedactionTable = {
  top: TOP_11,
  content: new Map<string, readonly string[] | 'all'>([
    ['m.room.member', ['membership', 'join_authorised_via_users_server']],
    ['m.room.create', 'all'],
    ['m.room.join_rules', ['join_rule', 'allow']],
    ['m.room.power_levels', [...POWER, 'invite']],
    ['m.room.history_visibility', ['history_visibility']],
    ['m.room.redaction', ['redacts']],
  ]),
  keepsSignedInvite: true,
}

export const REDACTION_TABLES: ReadonlyMap<string, RedactionTable> = new Map([
  ['1', V1],
  ['2', V1],
  ['3', V1],
  ['4', V1],
  ['5', V1],
  ['6', V6],
  ['7', V6],
  ['8', V8],
  ['9', V9],
  ['10', V9],
  ['11', V11],
  ['12', V11],
])

function kept(object: OracleObject, keys: readonly string[]): OracleObject {
  return objectOf(Object.entries(object).filter(([key]) => keys.includes(key)))
}

function redactedContent(event: OracleObject, table: RedactionTable): OracleObject {
  const content = own(event, 'content')
  const type = own(event, 'type')
  if (!isOracleObject(content)) return objectOf([])
  const keys = typeof type === 'string' ? (table.content.get(type) ?? []) : []
  if (keys === 'all') return content
  const result = kept(content, keys)
  const invite = own(content, 'third_party_invite')
  if (!table.keepsSignedInvite || type !== 'm.room.member' || !isOracleObject(invite)) return result
  // Where `signed` is missing, the specification leaves open whether `{}` stays: Synapse keeps it.
  return objectOf([...Object.entries(result), ['third_party_invite', kept(invite, ['signed'])]])
}

/** The redacted form of an event in a room version. */
export function oracleRedact(event: OracleObject, version: string): OracleObject {
  const table = REDACTION_TABLES.get(version)
  if (table === undefined) throw new Error(`no such room version: ${version}`)
  return objectOf([...Object.entries(kept(event, table.top)), ['content', redactedContent(event, table)]])
}
