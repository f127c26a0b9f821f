/** What the tests of the pure layer start from: vectors from files, and values in the shape that the reader gives. */
import { readFileSync } from 'node:fs'
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../src/matrix/json.ts'
import type { Pdu } from '../../src/matrix/pdu.ts'
import { type RoomVersion, roomVersion } from '../../src/matrix/room-versions.ts'
import type { OracleJson, OracleObject } from '../oracle/json-value.ts'

/** A file of test/vectors, read with the platform's own parser. */
export function vectors<Shape>(name: string): Shape {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8')) as Shape
}

/** The value of a JSON text, read strictly. */
export function jsonOf(text: string): JsonValue {
  const result = parseJson(Buffer.from(text, 'utf8'))
  if (!result.ok) throw new Error(`${result.reason}: ${text}`)
  return result.value
}

/** The same for a text that holds an object. */
export function objectOfText(text: string): JsonObject {
  const value = jsonOf(text)
  if (!isJsonObject(value)) throw new Error(`no object: ${text}`)
  return value
}

/** A plain value as the strict reader would give it: objects without a prototype. */
export function bare(value: OracleObject): JsonObject
export function bare(value: OracleJson): JsonValue
export function bare(value: OracleJson): JsonValue {
  if (Array.isArray(value)) return value.map((item: OracleJson) => bare(item))
  if (typeof value !== 'object' || value === null) return value as JsonValue
  const copy: Record<string, JsonValue> = Object.create(null)
  for (const [key, held] of Object.entries(value as OracleObject)) copy[key] = bare(held)
  return copy
}

/** A room version that must exist. */
export function version(id: string): RoomVersion {
  const found = roomVersion(id)
  if (found === undefined) throw new Error(`no such room version: ${id}`)
  return found
}

/** An event for code that takes format-checked events. */
export function pduOf(fields: OracleObject): Pdu {
  return bare(fields) as Pdu
}

/** A complete knock in the format of versions 4 to 12; `fields` replaces or adds keys. */
export function knockFields(fields: OracleObject = {}): OracleObject {
  return {
    room_id: '!room:here.test',
    type: 'm.room.member',
    sender: '@bob:there.test',
    state_key: '@bob:there.test',
    content: { membership: 'knock' },
    origin_server_ts: 1_760_000_000_000,
    depth: 5,
    prev_events: [`$${'P'.repeat(43)}`],
    auth_events: [`$${'A'.repeat(43)}`],
    hashes: { sha256: 'h'.repeat(43) },
    signatures: { 'there.test': { 'ed25519:1': 's'.repeat(86) } },
    ...fields,
  }
}
