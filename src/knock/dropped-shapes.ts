/**
 * Shapes that the event format allows and that homeservers drop all the same, because their parsers expect more. What one
 * of them drops is lost: `/send` says nothing of it. docs/homeservers.md, "Events that homeservers drop"
 */
import { isJsonObject, type JsonObject, type JsonValue } from '../matrix/json.ts'
import type { Pdu } from '../matrix/pdu.ts'
import type { RoomVersion } from '../matrix/room-versions.ts'

/** What a value must be where it is there. `null` counts as absent, as it does for the parsers. */
type Shape = (value: JsonValue) => boolean

const text: Shape = (value) => typeof value === 'string'
const integer: Shape = (value) => Number.isSafeInteger(value)
const list: Shape = (value) => Array.isArray(value)
const object: Shape = (value) => isJsonObject(value)

function mapOf(shape: Shape): Shape {
  return (value) => isJsonObject(value) && Object.values(value).every((item) => item !== undefined && shape(item))
}

function fields(shapes: Readonly<Record<string, Shape>>): Shape {
  return (value) => isJsonObject(value) && flawIn(value, shapes) === undefined
}

const sticky = fields({ duration_ms: integer })

/** Of the event itself: what gomatrixserverlib reads of every event, the rest of which the format check has seen. */
const OF_EVENT = {
  room_id: text,
  sender: text,
  type: text,
  state_key: text,
  redacts: text,
  content: object,
  unsigned: fields({ knock_room_state: list, invite_room_state: list }),
  depth: integer,
  origin_server_ts: integer,
  event_id: text,
  prev_events: list,
  auth_events: list,
  hashes: mapOf(text),
  signatures: mapOf(mapOf(text)),
  sticky,
  msc4354_sticky: sticky,
}

/** Of the content: what it reads of a membership although it can do without names and reasons. */
const OF_CONTENT = {
  membership: text,
  third_party_invite: fields({
    display_name: text,
    signed: fields({ mxid: text, token: text, signatures: mapOf(mapOf(text)) }),
  }),
  mxid_mapping: fields({ user_room_key: text, user_id: text, signatures: mapOf(mapOf(text)) }),
}

/** Later versions have a rule of their own for it. */
const BEFORE_AUTHORISING_USERS = { ...OF_CONTENT, join_authorised_via_users_server: text }

/** Under this key serde_json keeps numbers of any size: Rust programs read an object with it as a number, or not at all. */
const KEY_OF_A_NUMBER = '"$serde_json::private::Number":'

/**
 * Why a homeserver may drop an event that has passed the format check; undefined where none is known to.
 * @param json the event as canonical JSON
 */
export function droppedShape(pdu: Pdu, json: string, version: RoomVersion): string | undefined {
  const underscore = Object.keys(pdu).find((key) => key.startsWith('_'))
  if (underscore !== undefined) return `${shown(underscore)} is a key that homeservers keep to themselves`
  if (pdu.origin_server_ts < 0) return 'origin_server_ts must not be negative'
  const ofContent = version.authorisingUserSignature ? OF_CONTENT : BEFORE_AUTHORISING_USERS
  const flaw = flawIn(pdu, OF_EVENT) ?? flawIn(pdu.content, ofContent, 'content.')
  if (flaw !== undefined) return flaw
  return json.includes(KEY_OF_A_NUMBER) ? 'a key means a number to some homeservers' : undefined
}

function flawIn(object: JsonObject, shapes: Readonly<Record<string, Shape>>, prefix = ''): string | undefined {
  for (const [key, value] of Object.entries(object)) {
    const name = Object.hasOwn(shapes, key) ? key : folded(key)
    const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined
    if (shape === undefined) continue
    // Go's parser takes it for the same key, and may take its value.
    if (name !== key) return `${prefix}${shown(key)} is another spelling of ${name}`
    if (value !== undefined && value !== null && !shape(value))
      return `${prefix}${key} is not what homeservers can read`
  }
  return undefined
}

/** As Go compares keys: without case, the long s and the sign for Kelvin with their letters. */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase()
}

/** A key as an error can hold it. */
function shown(key: string): string {
  return JSON.stringify(key.slice(0, 40))
}
