/**
 * Room versions as data: one frozen record of named flags per version. Versions are opaque names, never numbers.
 * https://spec.matrix.org/latest/rooms/
 */

export interface RoomVersion {
  readonly id: string
  /** How an event is named: by the PDU itself (v1, v2) or by its reference hash in one of the two alphabets. */
  readonly eventId: 'in-pdu' | 'hash-base64' | 'hash-base64url'
  /** Canonical JSON is enforced on events. https://spec.matrix.org/latest/rooms/v6/#canonical-json */
  readonly strictCanonicalJson: boolean
  /** Signing keys must be valid at the event's time. https://spec.matrix.org/latest/rooms/v5/#signing-key-validity-period */
  readonly enforceKeyValidity: boolean
  /** Join rules under which a user may knock. v7: `knock`; v10 adds `knock_restricted`. */
  readonly knockJoinRules: readonly string[]
  /** Number of the authorisation rule that binds the room id to the create event; undefined where there is none. */
  readonly roomIdRule: number | undefined
  /** Number of the rule that considers the event's `auth_events`. */
  readonly authEventsRule: number
  /** Number of the rule on `m.federate`. */
  readonly federateRule: number
  /** Number of the rule that judges `m.room.member` events. */
  readonly memberRule: number
  /** Number of its part on knocks; undefined where it has none. */
  readonly knockRule: string | undefined
  /** `join_authorised_via_users_server` must be signed for. https://spec.matrix.org/latest/rooms/v8/#authorization-rules */
  readonly authorisingUserSignature: boolean
  /** The room id is the create event's hash, and `auth_events` never lists it. https://spec.matrix.org/latest/rooms/v12/ */
  readonly hashRoomId: boolean
  /** The create event names the creator in `content.creator` (up to v10). */
  readonly createNamesCreator: boolean
  /** Which of the redaction algorithms applies. */
  readonly redaction: RedactionRules
}

export interface RedactionRules {
  /** Top-level keys that survive. */
  readonly topLevel: ReadonlySet<string>
  /** Keys of `content` that survive, by event type; `all` keeps the whole of it. */
  readonly content: Readonly<Record<string, readonly string[] | 'all'>>
  /** `content.third_party_invite.signed` of member events survives (v11). */
  readonly keepsThirdPartyInviteSigned: boolean
}

const TOP_LEVEL_V11 = [
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
] as const
const TOP_LEVEL_V1 = new Set<string>([...TOP_LEVEL_V11, 'prev_state', 'origin', 'membership'])

const POWER_LEVELS_V1 = [
  'ban',
  'events',
  'events_default',
  'kick',
  'redact',
  'state_default',
  'users',
  'users_default',
] as const

const CONTENT_V6 = {
  'm.room.member': ['membership'],
  'm.room.create': ['creator'],
  'm.room.join_rules': ['join_rule'],
  'm.room.power_levels': POWER_LEVELS_V1,
  'm.room.history_visibility': ['history_visibility'],
} as const

/** https://spec.matrix.org/latest/rooms/v1/#redactions */
const REDACTION_V1: RedactionRules = {
  topLevel: TOP_LEVEL_V1,
  content: { ...CONTENT_V6, 'm.room.aliases': ['aliases'] },
  keepsThirdPartyInviteSigned: false,
}
/** https://spec.matrix.org/latest/rooms/v6/#redactions */
const REDACTION_V6: RedactionRules = { ...REDACTION_V1, content: CONTENT_V6 }
/** https://spec.matrix.org/latest/rooms/v8/#redactions */
const REDACTION_V8: RedactionRules = {
  ...REDACTION_V6,
  content: { ...CONTENT_V6, 'm.room.join_rules': ['join_rule', 'allow'] },
}
/** https://spec.matrix.org/latest/rooms/v9/#redactions */
const REDACTION_V9: RedactionRules = {
  ...REDACTION_V8,
  content: { ...REDACTION_V8.content, 'm.room.member': ['membership', 'join_authorised_via_users_server'] },
}
/** https://spec.matrix.org/latest/rooms/v11/#redactions */
const REDACTION_V11: RedactionRules = {
  topLevel: new Set<string>(TOP_LEVEL_V11),
  content: {
    ...REDACTION_V9.content,
    'm.room.create': 'all',
    'm.room.power_levels': [...POWER_LEVELS_V1, 'invite'],
    'm.room.redaction': ['redacts'],
  },
  keepsThirdPartyInviteSigned: true,
}

const V1: RoomVersion = {
  id: '1',
  eventId: 'in-pdu',
  strictCanonicalJson: false,
  enforceKeyValidity: false,
  knockJoinRules: [],
  roomIdRule: undefined,
  authEventsRule: 2,
  federateRule: 3,
  memberRule: 4,
  knockRule: undefined,
  authorisingUserSignature: false,
  hashRoomId: false,
  createNamesCreator: true,
  redaction: REDACTION_V1,
}
const V3: RoomVersion = { ...V1, id: '3', eventId: 'hash-base64' }
const V4: RoomVersion = { ...V3, id: '4', eventId: 'hash-base64url' }
const V5: RoomVersion = { ...V4, id: '5', enforceKeyValidity: true }
const V6: RoomVersion = { ...V5, id: '6', strictCanonicalJson: true, redaction: REDACTION_V6 }
const V7: RoomVersion = { ...V6, id: '7', knockJoinRules: ['knock'], knockRule: '4.6' }
const V8: RoomVersion = {
  ...V7,
  id: '8',
  authorisingUserSignature: true,
  knockRule: '4.7',
  redaction: REDACTION_V8,
}
const V9: RoomVersion = { ...V8, id: '9', redaction: REDACTION_V9 }
const V10: RoomVersion = { ...V9, id: '10', knockJoinRules: ['knock', 'knock_restricted'] }
const V11: RoomVersion = { ...V10, id: '11', createNamesCreator: false, redaction: REDACTION_V11 }
const V12: RoomVersion = {
  ...V11,
  id: '12',
  hashRoomId: true,
  roomIdRule: 2,
  authEventsRule: 3,
  federateRule: 4,
  memberRule: 5,
  knockRule: '5.7',
}

const VERSIONS: ReadonlyMap<string, RoomVersion> = new Map(
  [V1, { ...V1, id: '2' }, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12].map((version) => [
    version.id,
    Object.freeze(version),
  ]),
)

/** The room version of that exact name, or undefined where we do not implement it. */
export function roomVersion(id: string): RoomVersion | undefined {
  return VERSIONS.get(id)
}

/** The names of all versions that we implement, oldest first. */
export const ROOM_VERSIONS: readonly string[] = [...VERSIONS.keys()]
