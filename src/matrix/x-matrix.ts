/**
 * The X-Matrix Authorization header and the object that it signs.
 * https://spec.matrix.org/latest/server-server-api/#request-authentication
 */
import { encodeBase64 } from './base64.ts'
import { canonicalJson, canonicalJsonText } from './canonical-json.ts'
import type { Ed25519, SigningKey } from './ed25519.ts'
import { parseServerName, type ServerName } from './identifiers.ts'
import type { JsonObject } from './json.ts'
import { signedBytes } from './signed-json.ts'

export interface XMatrix {
  readonly origin: ServerName
  /** As written: compared with our own names, never used as an address. */
  readonly destination: string | undefined
  readonly keyId: string
  /** Base64. */
  readonly signature: string
}

export type XMatrixResult =
  | { readonly ok: true; readonly value: XMatrix }
  | { readonly ok: false; readonly reason: string }

/** Three times what a header has in which all names and ids are as long as they may be. */
const MAX_LENGTH = 4_096

const SCHEME = /^x-matrix(?: +|$)/i
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
/** RFC 9110 wants a token here; senders also leave `:`, `/` and `=` unquoted. */
const BARE_VALUE = /[^\s",]+/y
const QUOTED_VALUE = /"((?:[^"\\]|\\[\s\S])*)"/y
const EQUALS = /[ \t]*=[ \t]*/y
const LIST_GAP = /[ \t,]*/y
const OPTIONAL_SPACE = /[ \t]*/y

/** Whether an Authorization header is of the X-Matrix scheme; others are ignored. */
export function isXMatrix(header: string): boolean {
  return SCHEME.test(header)
}

/**
 * Reads one Authorization header value: scheme and names in any case, parameters in any order, quoted or bare, with
 * RFC 9110's optional white space, empty list elements and backslash escapes. Unknown parameters are ignored.
 * @returns the parameters, or the reason why the header is malformed
 */
export function parseXMatrix(header: string): XMatrixResult {
  if (header.length > MAX_LENGTH) return { ok: false, reason: `it is longer than ${MAX_LENGTH} characters` }
  const scheme = SCHEME.exec(header)
  if (scheme === null) return { ok: false, reason: 'the scheme is not X-Matrix' }
  const parameters = readParameters(header.slice(scheme[0].length))
  if (parameters === undefined) return { ok: false, reason: 'the parameters are not a list of name=value' }
  const origin = parseServerName(parameters.get('origin') ?? '')
  const keyId = parameters.get('key')
  const signature = parameters.get('sig')
  if (origin === undefined) return { ok: false, reason: 'origin is missing or no server name' }
  if (keyId === undefined || signature === undefined) return { ok: false, reason: 'key or sig is missing' }
  return { ok: true, value: { origin, destination: parameters.get('destination'), keyId, signature } }
}

/** Name (lower-case) to value, or undefined where the text is malformed or names a parameter twice. */
function readParameters(text: string): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>()
  let at = matchAt(LIST_GAP, text, 0)?.end ?? 0
  while (at < text.length) {
    const name = matchAt(TOKEN, text, at)
    const equals = name && matchAt(EQUALS, text, name.end)
    const value = equals && (matchAt(QUOTED_VALUE, text, equals.end) ?? matchAt(BARE_VALUE, text, equals.end))
    if (!name || !value) return undefined
    const key = name.whole.toLowerCase()
    if (parameters.has(key)) return undefined
    parameters.set(key, value.group === undefined ? value.whole : value.group.replace(/\\([\s\S])/g, '$1'))
    const end = matchAt(OPTIONAL_SPACE, text, value.end)?.end ?? value.end
    if (end < text.length && text[end] !== ',') return undefined
    at = matchAt(LIST_GAP, text, end)?.end ?? end
  }
  return parameters
}

interface Match {
  readonly whole: string
  readonly group: string | undefined
  readonly end: number
}

function matchAt(sticky: RegExp, text: string, at: number): Match | undefined {
  sticky.lastIndex = at
  const match = sticky.exec(text)
  return match === null ? undefined : { whole: match[0], group: match[1], end: sticky.lastIndex }
}

/** A header value as careful senders write it: lower-case names, every value quoted, no white space round commas. */
export function writeXMatrix(value: XMatrix): string {
  const destination = value.destination === undefined ? '' : `,destination=${quote(value.destination)}`
  return `X-Matrix origin=${quote(value.origin)}${destination},key=${quote(value.keyId)},sig=${quote(value.signature)}`
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

export interface SignedRequest {
  /** Upper-case, as sent. */
  readonly method: string
  /** The raw request target from `/_matrix/` on, query included, exactly as on the wire. */
  readonly uri: string
  readonly origin: ServerName
  readonly destination: ServerName
  /** The parsed body, where the request has one. */
  readonly content?: JsonObject
}

/** The object whose signature authenticates a request. */
export function requestObject(request: SignedRequest): JsonObject {
  const { method, uri, origin, destination, content } = request
  return content === undefined ? { method, uri, origin, destination } : { method, uri, origin, destination, content }
}

/**
 * The bytes that authenticate a request: the canonical form of its object.
 * @param content the body as canonical JSON, where the request has one
 */
export function requestBytes(request: Omit<SignedRequest, 'content'>, content?: string): Buffer {
  if (content === undefined) return canonicalJson(requestObject(request))
  const { head, tail } = aroundContent(request)
  return Buffer.from(head + content + tail)
}

/** What stands before and behind the content of a request: `content` is the first key in their order. */
function aroundContent(request: Omit<SignedRequest, 'content'>): { readonly head: string; readonly tail: string } {
  const { method, uri, origin, destination } = request
  return { head: '{"content":', tail: `,${canonicalJsonText({ method, uri, origin, destination }).slice(1)}` }
}

/**
 * The Authorization header of a request in our name whose content is canonical JSON already: it is signed as it stands.
 * @param content in pieces, with their length in all
 */
export function authorizationOfCanonical(
  request: Omit<SignedRequest, 'content'>,
  content: Iterable<Uint8Array> & { readonly length: number },
  key: SigningKey,
  ed25519: Ed25519,
): string {
  const { origin, destination } = request
  const { head, tail } = aroundContent(request)
  const signed = Buffer.concat([Buffer.from(head), ...content, Buffer.from(tail)])
  return writeXMatrix({ origin, destination, keyId: key.keyId, signature: encodeBase64(ed25519.sign(key, signed)) })
}

/** The Authorization header of a request in our name. */
export function authorizationOf(request: SignedRequest, key: SigningKey, ed25519: Ed25519): string {
  const { origin, destination } = request
  const signature = encodeBase64(ed25519.sign(key, signedBytes(requestObject(request))))
  return writeXMatrix({ origin, destination, keyId: key.keyId, signature })
}
