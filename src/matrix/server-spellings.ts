/**
 * The spellings of one server. A name with a dot at its end is the same host, and an address has many texts: lists and
 * limits mean the server. docs/decisions/0016-limits-that-are-on.md
 */
import { type ServerName, type ServerNameParts, splitServerName } from './identifiers.ts'
import { canonicalAddress, shortenedIpv6 } from './ip-address.ts'

/**
 * The texts that the host of a server name may stand under in a list, in lower case and without its port: the first as
 * it was given, the last the one that all spellings share.
 */
export function hostSpellings({ host, literal }: ServerNameParts): readonly [string, ...string[]] {
  const lower = host.toLowerCase()
  const given = literal === 6 ? `[${lower}]` : lower
  const others =
    literal === 6 ? [`[${shortenedIpv6(lower)}]`, inName(canonicalAddress(lower) ?? lower)] : [withoutLastDots(lower)]
  return [given, ...new Set(others.filter((other) => other !== given))]
}

/** What all spellings of a server share, whatever its port: two names with the same text are one host. */
export function canonicalHost(server: ServerName): string {
  const parts = splitServerName(server)
  return parts === undefined ? server : (hostSpellings(parts).at(-1) as string)
}

/**
 * An entry of a list as the text that all spellings of its server share.
 * @param entry in lower case, without a port
 * @returns the entry itself where it is a glob, or has no other spelling
 */
export function canonicalEntry(entry: string): string {
  if (entry.endsWith('.')) return /[*?]/.test(entry) ? entry : withoutLastDots(entry)
  if (!entry.startsWith('[') || !entry.endsWith(']')) return entry
  const address = canonicalAddress(entry.slice(1, -1))
  return address === undefined ? entry : inName(address)
}

function withoutLastDots(host: string): string {
  let end = host.length
  while (host[end - 1] === '.') end--
  return host.slice(0, end)
}

function inName(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}
