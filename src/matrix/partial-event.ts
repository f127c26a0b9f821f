/**
 * An event that the strict reader refuses, as far as it can be read. Its id and its signatures cover the redacted form
 * alone: where that can be read, the rest of the event need not be.
 * https://spec.matrix.org/latest/server-server-api/#calculating-the-reference-hash-for-an-event
 */
import { canonicalJson } from './canonical-json.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from './json.ts'
import { type JsonMember, readJsonMembers } from './json-members.ts'
import type { Pdu } from './pdu.ts'
import { redact } from './redaction.ts'
import type { RoomVersion } from './room-versions.ts'
import { without } from './signed-json.ts'

export type PartialEvent =
  /** All of it but `unsigned`, which is no part of the event. */
  | { readonly kind: 'whole'; readonly object: JsonObject }
  /** Its redacted form. */
  | { readonly kind: 'redacted'; readonly object: JsonObject }
  /** Not even that. `told`: those of its keys that can be read; of a key that is there twice, the last. */
  | { readonly kind: 'unreadable'; readonly told: JsonObject }

/** Stands for a value that cannot be read, or need not be. */
const LOST: JsonObject = Object.freeze(Object.create(null))

/** @param bytes of one JSON value, however deep and whatever its numbers and strings */
export function readPartialEvent(bytes: Uint8Array, version: RoomVersion): PartialEvent {
  const members = readJsonMembers(bytes) ?? []
  const { topLevel } = version.redaction
  const { values, told } = readValues(members, (key) => topLevel.has(key))
  const content = values.content === LOST ? readContent(members, values.type, version) : values.content
  const object = replaced(without(values, ['unsigned']), 'content', content)
  if (typeof object.type !== 'string' || !isJsonObject(object.content)) return { kind: 'unreadable', told }
  if (!holdsLost(object)) return { kind: 'whole', object }
  const redacted = redact(object as Pdu, version)
  // What is kept is read again by the strict reader, which looks at the depth of the whole too.
  const isReadable = !holdsLost(redacted) && parseJson(canonicalJson(redacted)).ok
  return isReadable ? { kind: 'redacted', object: redacted } : { kind: 'unreadable', told }
}

interface ReadValues {
  /** By key; LOST for what is not read, what cannot be read, and what is there twice. */
  readonly values: JsonObject
  /** What was read, by key, the last of several. */
  readonly told: JsonObject
}

/** @param counts whether redaction keeps a key. Others are not looked into: an object can have thousands of them. */
function readValues(members: readonly JsonMember[], counts: (key: string) => boolean): ReadValues {
  const values: Record<string, JsonValue> = Object.create(null)
  const told: Record<string, JsonValue> = Object.create(null)
  for (const { key, bytes } of members) {
    const json = counts(key) ? parseJson(bytes) : undefined
    values[key] = json?.ok && !(key in values) ? json.value : LOST
    if (json?.ok) told[key] = json.value
  }
  return { values, told }
}

/** Content of which a part is lost, and of an invitation in it what was signed. */
function readContent(
  event: readonly JsonMember[],
  type: JsonValue | undefined,
  { redaction }: RoomVersion,
): JsonObject | undefined {
  const members = only(event, 'content')
  if (members === undefined || typeof type !== 'string') return undefined
  const kept = Object.hasOwn(redaction.content, type) ? redaction.content[type] : []
  const { values } = readValues(
    members,
    (key) => kept === 'all' || kept?.includes(key) === true || key === 'third_party_invite',
  )
  const invite = values.third_party_invite === LOST ? only(members, 'third_party_invite') : undefined
  if (invite === undefined) return values
  return replaced(values, 'third_party_invite', readValues(invite, (key) => key === 'signed').values)
}

/** What the value of a key consists of, if the key is there once and its value is an object. */
function only(members: readonly JsonMember[], key: string): readonly JsonMember[] | undefined {
  const found = members.filter((member) => member.key === key)
  return found.length === 1 && found[0] !== undefined ? readJsonMembers(found[0].bytes) : undefined
}

function replaced(object: JsonObject, key: string, value: JsonValue | undefined): JsonObject {
  const copy: Record<string, JsonValue | undefined> = without(object, [key])
  if (value !== undefined) copy[key] = value
  return copy
}

/** Whether an event, its content or an invitation in it lacks a value. */
function holdsLost(object: JsonObject): boolean {
  const { content } = object
  const invite = isJsonObject(content) ? content.third_party_invite : undefined
  return [object, content, invite].some(
    (part) => part === LOST || (isJsonObject(part) && Object.values(part).includes(LOST)),
  )
}
