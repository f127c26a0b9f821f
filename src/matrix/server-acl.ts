/**
 * Server access control lists: which servers may take part in a room.
 * https://spec.matrix.org/latest/client-server-api/#server-access-control-lists-acls-for-rooms
 */
import { type ServerName, splitServerName } from './identifiers.ts'
import type { JsonObject, JsonValue } from './json.ts'

export interface ServerAcl {
  /** Whether the list lets a server in. Its port does not matter, nor does the case of its name. */
  allows(server: ServerName): boolean
}

/** Verdicts remembered per list: a list of hostile globs costs its time once per server, not once per request. */
const MAX_VERDICTS = 256

/**
 * Prepares the content of an `m.room.server_acl` event. Lists that are missing or malformed are empty, so a redacted
 * event denies everyone; entries that are no strings are passed over.
 */
export function compileServerAcl(content: JsonObject): ServerAcl {
  const deny = globs(content.deny)
  const allow = globs(content.allow)
  const denyLiterals = content.allow_ip_literals === false
  const verdicts = new Map<string, boolean>()

  const decide = (server: ServerName): boolean => {
    const parts = splitServerName(server)
    if (parts === undefined || (denyLiterals && parts.literal !== undefined)) return false
    const host = (parts.literal === 6 ? `[${parts.host}]` : parts.host).toLowerCase()
    return !deny.some((glob) => globMatches(glob, host)) && allow.some((glob) => globMatches(glob, host))
  }

  return {
    allows(server) {
      const known = verdicts.get(server)
      if (known !== undefined) return known
      if (verdicts.size >= MAX_VERDICTS) verdicts.clear()
      const verdict = decide(server)
      verdicts.set(server, verdict)
      return verdict
    },
  }
}

function globs(list: JsonValue | undefined): readonly string[] {
  if (!Array.isArray(list)) return []
  return list.filter((entry) => typeof entry === 'string').map((entry: string) => entry.toLowerCase())
}

/**
 * Whether a glob matches the whole of a text: `*` is any run of characters, `?` exactly one, all else is literal.
 * Never takes longer than the product of both lengths.
 */
export function globMatches(glob: string, text: string): boolean {
  let at = 0
  let inGlob = 0
  let star = -1
  let afterStar = 0
  while (at < text.length) {
    const wanted = glob[inGlob]
    if (wanted === '*') {
      star = inGlob++
      afterStar = at
    } else if (wanted !== undefined && (wanted === '?' || wanted === text[at])) {
      inGlob++
      at++
    } else if (star >= 0) {
      inGlob = star + 1
      at = ++afterStar
    } else return false
  }
  while (glob[inGlob] === '*') inGlob++
  return inGlob === glob.length
}
