/** IP addresses, one text for each. https://www.rfc-editor.org/rfc/rfc5952 */
import { isIPv4, isIPv6 } from 'node:net'

const MAPPED = /^0:0:0:0:0:ffff:([0-9a-f]+):([0-9a-f]+)$/

/**
 * The one spelling of an address: IPv6 in lower case and shortened; an IPv4 address that is mapped into IPv6 as itself.
 * @param text without brackets
 * @returns undefined where it is no address, or one that names its zone
 */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text
  if (text.includes('%') || !isIPv6(text)) return undefined
  const groups = groupsOf(text)
  return mappedAddress(groups) ?? shortened(groups)
}

/** An IPv6 address shortened, as IPv6 whatever it carries. @param text one that `isIPv6` takes, without a zone */
export function shortenedIpv6(text: string): string {
  return shortened(groupsOf(text))
}

/**
 * What counts as one place on the internet: an IPv4 address, mapped ones too, or the first 64 bits of an IPv6 one, which one
 * subscriber has whole.
 * @param address without brackets
 * @returns `192.0.2.1`, or `2001:db8:0:1::/64`; the text itself where it is no address
 */
export function networkOf(address: string): string {
  const [bare = ''] = address.split('%')
  if (!isIPv6(bare)) return address
  const groups = groupsOf(bare)
  return mappedAddress(groups) ?? `${groups.split(':').slice(0, 4).join(':')}::/64`
}

/** Its eight groups, in lower case, without leading zeros, with a colon between them. */
function groupsOf(text: string): string {
  const [head = '', tail] = text.split('::')
  const first = groupsIn(head)
  const last = tail === undefined ? [] : groupsIn(tail)
  const left: string[] = new Array(8 - first.length - last.length).fill('0')
  return [...first, ...left, ...last].join(':')
}

function groupsIn(part: string): readonly string[] {
  if (part === '') return []
  return part
    .split(':')
    .flatMap((group) => (group.includes('.') ? groupsOfIpv4(group) : Number.parseInt(group, 16).toString(16)))
}

function groupsOfIpv4(address: string): readonly string[] {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
  return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)]
}

function mappedAddress(groups: string): string | undefined {
  const [, high, low] = MAPPED.exec(groups) ?? []
  if (high === undefined || low === undefined) return undefined
  return [high, low].flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]).join('.')
}

/** The longest run of groups of zero, the first of several, becomes `::`. */
function shortened(groups: string): string {
  let longest = { index: 0, length: 0 }
  for (const { index, 0: run } of groups.matchAll(/\b0(?::0)+\b/g)) {
    if (run.length > longest.length) longest = { index, length: run.length }
  }
  const { index, length } = longest
  if (length === 0) return groups
  return `${groups.slice(0, Math.max(index - 1, 0))}::${groups.slice(index + length + 1)}`
}
