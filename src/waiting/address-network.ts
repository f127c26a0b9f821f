/** Addresses as causes of work: whoever has an IPv6 network has more addresses than anything can be shared among. */
import { isIPv6 } from 'node:net'

/** Groups of an IPv6 address that a subscriber's network, a /64, has in common. */
const NETWORK_GROUPS = 4
const GROUPS = 8
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/**
 * What counts as one with an address.
 * @param address an IP literal without brackets
 * @returns the address itself for IPv4, mapped ones too; the first 64 bits of an IPv6 address, as `2001:db8:0:1::/64`
 */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  const [, mapped] = MAPPED.exec(address) ?? []
  if (mapped !== undefined) return mapped
  const [bare = ''] = address.split('%')
  const [before = '', after] = bare.split('::')
  const head = groupsOf(before)
  const tail = groupsOf(after ?? '')
  const groups = after === undefined ? head : [...head, ...Array<string>(GROUPS - head.length - tail.length).fill('0')]
  const network = [...groups, ...tail].slice(0, NETWORK_GROUPS)
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}

/** Four decimal bytes at the end stand for two groups. */
function groupsOf(text: string): readonly string[] {
  return text
    .split(':')
    .filter(Boolean)
    .flatMap((group) => (group.includes('.') ? ['0', '0'] : [group]))
}
