/**
 * Lists of servers that an operator writes: names and globs as in server ACLs, and with a port where one is meant.
 */
import { compileGlobs } from './glob-set.ts'
import { type ServerName, splitServerName } from './identifiers.ts'
import { canonicalEntry, hostSpellings } from './server-spellings.ts'

export interface ServerList {
  /** Whether an entry means this server, in whatever spelling. */
  has(server: ServerName): boolean
}

/** An entry taken apart: both parts may hold wildcards. */
export interface ServerListEntry {
  readonly host: string
  /** Undefined where the entry means every port. */
  readonly port: string | undefined
}

/**
 * Prepares a list. An entry without a port means the host on every port; one with a port the whole name, and a name
 * without a port is on none.
 */
export function compileServerList(entries: readonly string[]): ServerList {
  const parts = entries.map((entry) => splitEntry(entry.toLowerCase()))
  const hosts = compileGlobs(parts.flatMap(({ host, port }) => (port === undefined ? canonicalEntry(host) : [])))
  const names = compileGlobs(
    parts.flatMap(({ host, port }) => (port === undefined ? [] : withPort(canonicalEntry(host), port))),
  )
  return {
    has(server) {
      const name = splitServerName(server)
      if (name === undefined) return false
      const { port } = name
      return hostSpellings(name).some(
        (host) => hosts.matches(host) || (port !== undefined && names.matches(withPort(host, String(port)))),
      )
    },
  }
}

/** The port is what follows the last colon, unless that belongs to an address in brackets. */
export function splitEntry(entry: string): ServerListEntry {
  const colon = entry.lastIndexOf(':')
  const bracket = entry.lastIndexOf(']')
  if (colon < bracket || colon < 0 || (entry.startsWith('[') && bracket < 0)) return { host: entry, port: undefined }
  return { host: entry.slice(0, colon), port: entry.slice(colon + 1) }
}

/** No host and no port holds the sign between them, so a `*` before it stays before it. */
function withPort(host: string, port: string): string {
  return `${host}/${/^\d+$/.test(port) ? String(Number(port)) : port}`
}
