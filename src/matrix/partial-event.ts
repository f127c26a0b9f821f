/**
 * An event that the strict reader refuses, as far as it can be read. Its id and its signatures cover the redacted form
 * alone: where that can be read, the rest of the event need not be.
 * https://spec.matrix.org/latest/server-server-api/#calculating-the-reference-hash-for-an-event
 */
import { canonicalJson } from './canonical-json.ts'
import type { Pdu } from './event.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from './json.ts'
import { readJsonMembers } from './json-members.ts'
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

/** Stands for a value that cannot be read. */
const LOST: JsonObject = Object.freeze(Object.create(null))

/** @param bytes of one JSON value, however deep and whatever its numbers and strings */
export function readPartialEvent(bytes: Uint8Array, version: RoomVersion): PartialEvent {
  const { values, told } = readObject(bytes)
  const content = values.content === LOST ? readContent(bytes) : values.content
  const object = replaced(without(values, ['unsigned']), 'content', content)
  if (typeof object.type !== 'string' || !isJsonObject(object.content)) return { kind: 'unreadable', told }
  if (!holdsLost(object)) return { kind: 'whole', object }
  const redacted = redact(object as Pdu, version)
  // What is kept is read again by the strict reader, which looks at the depth of the whole too.
  const isReadable = !holdsLost(redacted) && parseJson(canonicalJson(redacted)).ok
  return isReadable ? { kind: 'redacted', object: redacted } : { kind: 'unreadable', told }
}

interface ReadObject {
  /** By key; LOST for what cannot be read, and for what is there twice. */
  readonly values: JsonObject
  /** What can be read, by key, the last of several. */
  readonly told: JsonObject
}

function readObject(bytes: Uint8Array): ReadObject {
  const values: Record<string, JsonValue> = Object.create(null)
  const told: Record<string, JsonValue> = Object.create(null)
  for (const { key, bytes: value } of readJsonMembers(bytes) ?? []) {
    const json = parseJson(value)
    values[key] = json.ok && !(key in values) ? json.value : LOST
    if (json.ok) told[key] = json.value
  }
  return { values, told }
}

/** Content of which a part is lost, and of an invitation in it what was signed. */
function readContent(event: Uint8Array): JsonObject | undefined {
  const content = only(event, 'content')
  if (content === undefined || readJsonMembers(content) === undefined) return undefined
  const { values } = readObject(content)
  const invite = values.third_party_invite === LOST ? only(content, 'third_party_invite') : undefined
  if (invite === undefined || readJsonMembers(invite) === undefined) return values
  return replaced(values, 'third_party_invite', readObject(invite).values)
}

function replaced(object: JsonObject, key: string, value: JsonValue | undefined): JsonObject {
  const copy: Record<string, JsonValue | undefined> = without(object, [key])
  if (value !== undefined) copy[key] = value
  return copy
}

/** The value of a key that is there once. */
function only(object: Uint8Array, key: string): Uint8Array | undefined {
  const found = (readJsonMembers(object) ?? []).filter((member) => member.key === key)
  return found.length === 1 ? found[0]?.bytes : undefined
}

/** Whether an event, its content or an invitation in it lacks a value. */
function holdsLost(object: JsonObject): boolean {
  const { content } = object
  const invite = isJsonObject(content) ? content.third_party_invite : undefined
  return [object, content, invite].some(
    (part) => part === LOST || (isJsonObject(part) && Object.values(part).includes(LOST)),
  )
}
