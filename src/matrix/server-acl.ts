/**
 * Server access control lists: which servers may take part in a room.
 * https://spec.matrix.org/latest/client-server-api/#server-access-control-lists-acls-for-rooms
 */
import { compileGlobs } from './glob-set.ts'
import { type ServerName, splitServerName } from './identifiers.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { canonicalEntry, hostSpellings } from './server-spellings.ts'

export interface ServerAcl {
  /** Whether the list lets a server in. Its port does not matter, nor does the case of its name. */
  allows(server: ServerName): boolean
}

/** Verdicts remembered per list: a list of hostile globs costs its time once per server, not once per request. */
const MAX_VERDICTS = 256

/**
 * Prepares the content of an `m.room.server_acl` event. Lists that are missing or malformed are empty, so a redacted
 * event denies everyone; entries that are no strings are passed over.
 *
 * A server is denied where `deny` matches any spelling of its name, so that a dot at the end or another form of an
 * address is no way around a ban. `allow` has to match the name as it was given, as it does for every other server of
 * the room: a knock that they would not take is not taken here either.
 */
export function compileServerAcl(content: JsonObject): ServerAcl {
  const deny = globs(content.deny)
  const denied = compileGlobs(new Set([...deny, ...deny.map(canonicalEntry)]))
  const allowed = compileGlobs(globs(content.allow))
  const denyLiterals = content.allow_ip_literals === false
  const verdicts = new Map<string, boolean>()

  const decide = (server: ServerName): boolean => {
    const parts = splitServerName(server)
    if (parts === undefined || (denyLiterals && parts.literal !== undefined)) return false
    const spellings = hostSpellings(parts)
    return !spellings.some(denied.matches) && allowed.matches(spellings[0])
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
