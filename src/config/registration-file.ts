/**
 * The application service registration: the file by which homeserver and service know each other, with both tokens.
 * https://spec.matrix.org/latest/application-service-api/#registration
 */
import { isMap, parseDocument, stringify } from 'yaml'

export interface Registration {
  /** Name of the application service, for pings. */
  readonly id: string
  /** What we show to the homeserver. */
  readonly asToken: string
  /** What the homeserver shows to us. */
  readonly hsToken: string
}

export type RegistrationResult =
  | { readonly ok: true; readonly registration: Registration }
  | { readonly ok: false; readonly reason: string }

const MAX_CHARACTERS = 64 * 1024
/** What can stand in an Authorization header as it is. https://www.rfc-editor.org/rfc/rfc6750#section-2.1 */
const TOKEN = /^[A-Za-z0-9._~+/-]{1,512}=*$/

/**
 * Reads a registration.
 * @param text the whole file
 * @returns the tokens, or what is wrong with the file, which never shows any of them
 */
export function parseRegistration(text: string): RegistrationResult {
  if (text.length > MAX_CHARACTERS) return refused('is longer than 64 KiB')
  const document = parseDocument(text, { stringKeys: true })
  if (document.errors.length > 0) return refused('is no valid YAML')
  if (!isMap(document.contents)) return refused('does not hold keys and values')
  const keys = document.toJS({ maxAliasCount: 10 }) as Readonly<Record<string, unknown>>
  const { id, url, as_token: asToken, hs_token: hsToken, sender_localpart: sender } = keys
  if (!isText(id)) return refused('has no id')
  if (!isText(url)) return refused('has no url, so the homeserver would tell us nothing')
  if (!isText(sender)) return refused('has no sender_localpart')
  if (!isToken(asToken)) return refused('has no as_token that can stand in a header')
  if (!isToken(hsToken)) return refused('has no hs_token that can stand in a header')
  if (asToken === hsToken) return refused('has one token for both directions')
  if (!hasRooms(keys.namespaces))
    return refused('names no rooms in namespaces.rooms, so the homeserver would tell us of none')
  return { ok: true, registration: { id, asToken, hsToken } }
}

/** What a new registration is made of. */
export interface NewRegistration {
  /** Where the homeserver reaches us: `http://127.0.0.1:8452`. */
  readonly url: string
  readonly asToken: string
  readonly hsToken: string
}

/** The text of a registration for the events of every room. It holds secrets: only the two programs may read it. */
export function writeRegistration({ url, asToken, hsToken }: NewRegistration): string {
  const everyRoom = [{ exclusive: false, regex: '!.*' }]
  return `# How the homeserver tells matrix-knock what happens in its rooms. The tokens are secrets.\n${stringify({
    id: 'matrix-knock',
    url,
    as_token: asToken,
    hs_token: hsToken,
    sender_localpart: 'matrix-knock',
    rate_limited: false,
    namespaces: { users: [], aliases: [], rooms: everyRoom },
  })}`
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isToken(value: unknown): value is string {
  return typeof value === 'string' && TOKEN.test(value)
}

function hasRooms(namespaces: unknown): boolean {
  const rooms = (namespaces as { rooms?: unknown } | null | undefined)?.rooms
  return Array.isArray(rooms) && rooms.some((room) => isText((room as { regex?: unknown } | null)?.regex))
}

function refused(reason: string): RegistrationResult {
  return { ok: false, reason }
}
