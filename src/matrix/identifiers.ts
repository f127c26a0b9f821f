/**
 * Matrix identifiers as branded strings: a value of one of these types has passed its grammar.
 * https://spec.matrix.org/latest/appendices/#identifier-grammar
 */
import { isIPv4, isIPv6 } from 'node:net'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

export type ServerName = Branded<'ServerName'>
export type UserId = Branded<'UserId'>
export type RoomId = Branded<'RoomId'>
export type EventId = Branded<'EventId'>
/** `algorithm:version`, for example `ed25519:a_1`. */
export type KeyId = Branded<'KeyId'>

/** Every identifier is at most this many bytes of UTF-8, sigil and domain included. */
export const MAX_IDENTIFIER_BYTES = 255

const DNS_NAME = /^[A-Za-z0-9.-]{1,255}$/
const DIGITS_AND_DOTS = /^[0-9.]+$/
const PORT = /^[0-9]{1,5}$/
const IPV6_LITERAL = /^[0-9A-Fa-f:.]{2,45}$/
const LOCALPART = /^[^:\0]*$/u
const HASH_ID = /^[A-Za-z0-9_-]{43}$/
const STANDARD_HASH_ID = /^[A-Za-z0-9+/]{43}$/
const KEY_ID = /^[a-z0-9]+:[A-Za-z0-9_]+$/
const ROOM_VERSION = /^[a-z0-9.-]{1,32}$/

/** A server name taken apart: the host without brackets, its port if it names one, and whether it is an IP literal. */
export interface ServerNameParts {
  readonly host: string
  readonly port: number | undefined
  readonly literal: 4 | 6 | undefined
}

/**
 * Takes a server name apart.
 * @returns undefined where the text is not a server name.
 * @see https://spec.matrix.org/latest/appendices/#server-name
 */
export function splitServerName(name: string): ServerNameParts | undefined {
  if (name.startsWith('[')) {
    const end = name.indexOf(']')
    const host = name.slice(1, end)
    if (end < 0 || !IPV6_LITERAL.test(host) || !isIPv6(host)) return undefined
    return withPort(host, name.slice(end + 1), 6)
  }
  const colon = name.indexOf(':')
  const host = colon < 0 ? name : name.slice(0, colon)
  if (!DNS_NAME.test(host)) return undefined
  const literal = isIPv4(host) ? 4 : undefined
  // Digits and dots alone read as an IPv4 address to every resolver; one that is none is no host name either.
  if (literal === undefined && DIGITS_AND_DOTS.test(host)) return undefined
  return withPort(host, colon < 0 ? '' : name.slice(colon), literal)
}

function withPort(host: string, rest: string, literal: 4 | 6 | undefined): ServerNameParts | undefined {
  if (rest === '') return { host, port: undefined, literal }
  const digits = rest.slice(1)
  if (rest[0] !== ':' || !PORT.test(digits)) return undefined
  const port = Number(digits)
  return port > 65535 ? undefined : { host, port, literal }
}

/** The text as a server name, or undefined. Compared case-sensitively everywhere but in ACLs. */
export function parseServerName(text: string): ServerName | undefined {
  if (text.length > MAX_IDENTIFIER_BYTES) return undefined
  return splitServerName(text) === undefined ? undefined : (text as ServerName)
}

/**
 * The text as a user id, in the historical grammar that servers must accept: any localpart without `:` and NUL.
 * @see https://spec.matrix.org/latest/appendices/#historical-user-ids
 */
export function parseUserId(text: string): UserId | undefined {
  const colon = text.indexOf(':')
  if (text[0] !== '@' || colon < 0 || !fits(text)) return undefined
  if (!LOCALPART.test(text.slice(1, colon)) || parseServerName(text.slice(colon + 1)) === undefined) return undefined
  return text as UserId
}

/**
 * The text as a room id: `!localpart:server` as rooms up to version 11 have it, or `!` and a hash as version 12 has it.
 * @see https://spec.matrix.org/latest/appendices/#room-ids
 */
export function parseRoomId(text: string): RoomId | undefined {
  if (text[0] !== '!' || !fits(text)) return undefined
  const colon = text.indexOf(':')
  if (colon < 0) return HASH_ID.test(text.slice(1)) ? (text as RoomId) : undefined
  if (!LOCALPART.test(text.slice(1, colon)) || parseServerName(text.slice(colon + 1)) === undefined) return undefined
  return text as RoomId
}

/**
 * The text as an event id of room version 3 and later: `$` and 43 base64 characters of either alphabet.
 * @see https://spec.matrix.org/latest/appendices/#event-ids
 */
export function parseEventId(text: string): EventId | undefined {
  if (text[0] !== '$') return undefined
  const hash = text.slice(1)
  return HASH_ID.test(hash) || STANDARD_HASH_ID.test(hash) ? (text as EventId) : undefined
}

/** The text as a key id, `algorithm:version`. https://spec.matrix.org/latest/appendices/#signing-details */
export function parseKeyId(text: string): KeyId | undefined {
  return fits(text) && KEY_ID.test(text) ? (text as KeyId) : undefined
}

/** Whether the text has the grammar of a room version; it may still be one that we do not know. */
export function isRoomVersionId(text: string): boolean {
  return ROOM_VERSION.test(text)
}

/** The server of a user: all after the first colon. */
export function serverNameOf(userId: UserId): ServerName {
  return userId.slice(userId.indexOf(':') + 1) as ServerName
}

function fits(text: string): boolean {
  return text.isWellFormed() && Buffer.byteLength(text) <= MAX_IDENTIFIER_BYTES
}
