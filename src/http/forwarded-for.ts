/**
 * `X-Forwarded-For` as proxies write it: with ports, brackets, quotes, and words where they do not tell an address.
 * https://www.rfc-editor.org/rfc/rfc7239#section-6 has the forms.
 */
import { canonicalAddress } from '../matrix/ip-address.ts'

/** No chain of proxies is longer; what stands before them is a stranger's. */
const MAX_ADDRESSES = 20
const IN_BRACKETS = /^\[([^\]]*)\](?::\d*)?$/
const WITH_PORT = /^([^:]*):\d*$/
/** Counts as one address: a word that changes is no way around a limit. */
const NO_ADDRESS = 'unknown'

/**
 * The same header with nothing but addresses, each in its one spelling, so that an address is the same from every port.
 * @param header all its lines, joined with commas
 */
export function readForwardedFor(header: string): string {
  const entries = header.split(',').map((entry) => entry.trim())
  return entries
    .filter((entry) => entry !== '')
    .slice(-MAX_ADDRESSES)
    .map((entry) => addressIn(entry) ?? NO_ADDRESS)
    .join(', ')
}

function addressIn(entry: string): string | undefined {
  const bare = entry.length > 1 && entry.startsWith('"') && entry.endsWith('"') ? entry.slice(1, -1).trim() : entry
  const address = IN_BRACKETS.exec(bare)?.[1] ?? WITH_PORT.exec(bare)?.[1] ?? bare
  // The zone is the proxy's own matter.
  return canonicalAddress(address.replace(/%.*$/s, ''))
}
