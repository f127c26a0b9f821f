/** Values of the configuration that are more than text: each is read once, here, into what the program uses. */
import { isIP } from 'node:net'
import * as z from 'zod'
import { parseNetwork } from '../federation/discovery/address-filter.ts'
import { decodeBase64 } from '../matrix/base64.ts'
import { type KeyId, parseKeyId, parseServerName, parseUserId } from '../matrix/identifiers.ts'

/** Text that a parser turns into a value; the parser answers undefined where the text is not allowed. */
function parsed<Value>(parse: (text: string) => Value | undefined) {
  return z.string().transform((text, context): Value => {
    const value = parse(text)
    if (value !== undefined) return value
    context.issues.push({ code: 'custom', input: text })
    return z.NEVER
  })
}

/** https://spec.matrix.org/latest/appendices/#server-name */
export const serverName = parsed(parseServerName)

/** A network in CIDR notation, or one address. */
export const network = parsed(parseNetwork)

/** The same, kept as text. */
export const networkText = parsed((text) => (parseNetwork(text) === undefined ? undefined : text))

/** An Ed25519 public key: base64 of 32 bytes. */
export const publicKey = parsed(readPublicKey)

/** `IP` or `IP:PORT`, an IPv6 address with a port in brackets. */
export const dnsServer = parsed((text) => (isDnsServer(text) ? text : undefined))

/** A name of a machine, without a port. */
export const hostName = parsed((text) => (/^[A-Za-z0-9._-]{1,253}$/.test(text) ? text : undefined))

/** A server name in which `*` stands for any characters and `?` for one, as in server ACLs. */
export const serverGlob = parsed((text) => (/^[A-Za-z0-9.:*?[\]-]{1,255}$/.test(text) ? text : undefined))

/** https://spec.matrix.org/latest/appendices/#user-identifiers */
export const userId = parsed(parseUserId)

/** Scheme, host and port of a homeserver, as `http://127.0.0.1:8008`. */
export const homeserverUrl = parsed(parseHomeserverUrl)

/** A notary as Synapse writes it. */
export const trustedKeyServer = z
  .strictObject({
    server_name: serverName,
    verify_keys: z.record(z.string(), publicKey),
  })
  .transform(({ server_name: name, verify_keys: keys }, context) => {
    const verifyKeys = keysById(keys)
    if (verifyKeys !== undefined && verifyKeys.size > 0) return { serverName: name, verifyKeys }
    context.issues.push({ code: 'custom', input: keys, path: ['verify_keys'] })
    return z.NEVER
  })

/** Public keys by their ids, of which each may have had several. */
export const oldVerifyKeys = z
  .record(z.string(), z.union([publicKey.transform((key) => [key]), z.array(publicKey).min(1)]))
  .transform((keys, context) => {
    const byId = keysById(keys)
    if (byId !== undefined) return byId
    context.issues.push({ code: 'custom', input: keys })
    return z.NEVER
  })

/** @returns undefined where an id is none */
function keysById<Keys>(keys: Readonly<Record<string, Keys>>): ReadonlyMap<KeyId, Keys> | undefined {
  const byId = new Map<KeyId, Keys>()
  for (const [id, key] of Object.entries(keys)) {
    const keyId = parseKeyId(id)
    if (keyId === undefined) return undefined
    byId.set(keyId, key)
  }
  return byId
}

/** A PostgreSQL connection URL. https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS */
export const postgresUrl = parsed((text) => (isPostgresUrl(text) ? text : undefined))

/** Whether the text is a URL that the database driver can use. */
export function isPostgresUrl(text: string): boolean {
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(text)) return false
  try {
    decodeURIComponent(text)
    return true
  } catch {
    // A % in a password is to be written as %25.
    return false
  }
}

/** A whole number. */
export function integer(least: number, most: number) {
  return z.int().min(least).max(most)
}

/** Text with something in it. */
export const text = z.string().min(1)

function readPublicKey(base64: string): Uint8Array | undefined {
  const bytes = decodeBase64(base64)
  return bytes?.length === 32 ? bytes : undefined
}

const URL_HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9a-f:.]+\])$/

/** Nothing but an origin: requests are signed by their path, so the homeserver must get it as it stands. */
export function parseHomeserverUrl(text: string): string | undefined {
  if (!/^https?:\/\/[^/?#@]+\/?$/i.test(text) || !URL.canParse(text)) return undefined
  const { hostname, port, origin } = new URL(text)
  return URL_HOST.test(hostname) && port !== '0' ? origin : undefined
}

function isDnsServer(address: string): boolean {
  if (isIP(address) !== 0) return true
  const match = /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(address)
  return match !== null && isIP(match[1] ?? match[2] ?? '') !== 0 && Number(match[3]) <= 65535
}
