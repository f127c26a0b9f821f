/**
 * The options of `matrix-knock knock`, read and checked before anything is sent.
 * https://spec.matrix.org/latest/appendices/#identifier-grammar
 */
import { readFile } from 'node:fs/promises'
import { isRoomVersionId, parseRoomId, parseServerName, parseUserId } from '../../matrix/identifiers.ts'
import { ROOM_VERSIONS, roomVersion } from '../../matrix/room-versions.ts'
import { parseSigningKeyFile } from '../../matrix/signing-key-file.ts'
import type { Knock } from './knock.ts'

/** As typed. */
export interface KnockOptions {
  readonly via: string
  readonly room: string
  readonly user: string
  readonly serverName: string
  readonly signingKey: string
  readonly listen: string
  readonly tlsCert: string
  readonly tlsKey: string
  readonly ca?: string
  readonly ver?: readonly string[]
  readonly reason?: string
  readonly destination?: string
}

export type KnockOrder =
  | { readonly ok: true; readonly knock: Knock }
  /** One line that names the option, what was wrong with it, and what is allowed. */
  | { readonly ok: false; readonly reason: string }

/** Room versions in which a user can knock. */
export const KNOCKABLE_VERSIONS: readonly string[] = ROOM_VERSIONS.filter(
  (id) => (roomVersion(id)?.knockJoinRules.length ?? 0) > 0,
)

/** Reads the options and the files that they name. */
export async function readKnockOptions(options: KnockOptions): Promise<KnockOrder> {
  try {
    return { ok: true, knock: await read(options) }
  } catch (error) {
    if (error instanceof WrongOption) return { ok: false, reason: error.message }
    throw error
  }
}

/** Leaves the reading at the first wrong option; never seen outside this module. */
class WrongOption extends Error {
  constructor(option: string, value: string, allowed: string) {
    super(`--${option} ${JSON.stringify(value)}: ${allowed}`)
  }
}

async function read(options: KnockOptions): Promise<Knock> {
  const serverName = parse('server-name', options.serverName, parseServerName, 'expected a server name, host[:port]')
  const roomId = parse('room', options.room, parseRoomId, 'expected a room id, !localpart:server or !hash')
  const userId = parse('user', options.user, parseUserId, 'expected a user id, @localpart:server')
  const base = parse('via', options.via, parseBase, 'expected http(s)://host[:port] without a path')
  const { host, port } = parse('listen', options.listen, parseListen, 'expected HOST:PORT')
  const destination =
    options.destination === undefined
      ? undefined
      : parse('destination', options.destination, parseServerName, 'expected a server name, host[:port]')
  const versions = options.ver ?? KNOCKABLE_VERSIONS
  for (const version of versions) {
    if (!isRoomVersionId(version)) throw new WrongOption('ver', version, 'expected 1 to 32 of a-z 0-9 . -')
  }
  const keyFile = parseSigningKeyFile(await readText('signing-key', options.signingKey))
  if (!keyFile.ok) throw new WrongOption('signing-key', options.signingKey, keyFile.reason)
  return {
    requester: { serverName, key: keyFile.key },
    via: { base, ca: options.ca === undefined ? undefined : await readText('ca', options.ca) },
    roomId,
    userId,
    versions,
    reason: options.reason,
    destination,
    keyServer: {
      host,
      port,
      cert: await readText('tls-cert', options.tlsCert),
      key: await readText('tls-key', options.tlsKey),
    },
  }
}

function parse<Value>(
  option: string,
  text: string,
  parser: (text: string) => Value | undefined,
  allowed: string,
): Value {
  const value = parser(text)
  if (value === undefined) throw new WrongOption(option, text, allowed)
  return value
}

/** The request target is signed from its first slash on, so a base URL can have no path of its own. */
function parseBase(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) return undefined
  const bare =
    url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === ''
  return bare ? url : undefined
}

function parseListen(text: string): { host: string; port: number } | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  const port = Number(digits)
  return host === undefined || port > 65535 ? undefined : { host, port }
}

async function readText(option: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new WrongOption(option, path, `cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}
