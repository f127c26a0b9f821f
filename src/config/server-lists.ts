/** Entries of `federation.allow_servers` and `deny_servers` that cannot mean what they say: the service runs, and they do nothing. */
import { parseServerName } from '../matrix/identifiers.ts'
import { canonicalAddress } from '../matrix/ip-address.ts'
import { compileServerList, splitEntry } from '../matrix/server-list.ts'
import type { Problem } from './problem.ts'
import type { Config } from './schema.ts'

const GLOB = /[*?]/
const PORT_GLOB = /^[0-9*?]+$/
const HOST_GLOB = /^[a-z0-9.*?-]+$/i
const ADDRESS_GLOB = /^\[?[0-9a-f:.*?]+\]?$/i

/** A line for each entry that can match nothing, with what to write instead. */
export function listProblems({ federation }: Pick<Config, 'federation'>): readonly Problem[] {
  const { allow_servers: allow, deny_servers: deny } = federation
  return [
    ...problemsIn('federation.deny_servers', deny, entryFlaw),
    ...problemsIn('federation.allow_servers', allow ?? [], (entry) => entryFlaw(entry) ?? shadow(entry, deny)),
  ]
}

function problemsIn(
  key: string,
  entries: readonly string[],
  flawOf: (entry: string) => string | undefined,
): readonly Problem[] {
  return entries.flatMap((entry, index) => {
    const flaw = flawOf(entry)
    return flaw === undefined ? [] : [{ key: `${key}.${index}`, what: `${JSON.stringify(entry)} ${flaw}` }]
  })
}

/** @returns what is wrong with an entry, and after a semicolon the remedy */
function entryFlaw(entry: string): string | undefined {
  const address = canonicalAddress(entry)
  if (address !== undefined && entry.includes(':')) {
    return `matches nothing: an IPv6 address stands in brackets; write ${JSON.stringify(`[${entry}]`)}`
  }
  const { host, port } = splitEntry(entry)
  if (port !== undefined) {
    const flaw = portFlaw(port)
    if (flaw !== undefined)
      return `matches nothing: ${flaw}; write ${JSON.stringify(host)} for every port, or one that is`
  }
  if (!GLOB.test(host)) {
    if (parseServerName(host) !== undefined) return undefined
    return 'matches nothing: that is no name of a server and no address; write the name as it stands in user ids, without a scheme'
  }
  if (host.endsWith('.')) {
    return `matches only names that are written with a dot at their end; write ${JSON.stringify(host.replace(/\.+$/, ''))}`
  }
  if (HOST_GLOB.test(host) || (ADDRESS_GLOB.test(host) && /[[\]*]/.test(host))) return undefined
  return 'matches nothing: no server has such a name; a glob of names has letters, digits, dots and dashes, one of IPv6 addresses stands in brackets'
}

function portFlaw(port: string): string | undefined {
  if (!PORT_GLOB.test(port)) return `${JSON.stringify(port)} is no port`
  const least = port.replaceAll('*', '')
  if (least.length > 5 || (!GLOB.test(port) && Number(port) > 65_535)) return `no port is ${port}`
  return undefined
}

/** Whom `deny_servers` keeps out, an entry of `allow_servers` does not let in. */
function shadow(entry: string, deny: readonly string[]): string | undefined {
  // A run of any length is covered where both none and a long one are.
  const runs = ['', 'x'.repeat(60)].map((run) => entry.replaceAll('*', run).replaceAll('?', 'x'))
  const names = runs.flatMap((name) => parseServerName(name) ?? [])
  if (names.length === 0) return undefined
  const by = deny.find((denied) => names.every(compileServerList([denied]).has))
  if (by === undefined) return undefined
  return `lets nobody in: ${JSON.stringify(by)} in federation.deny_servers keeps out whom it means; take one of them out`
}
