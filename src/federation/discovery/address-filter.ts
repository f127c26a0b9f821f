/**
 * Which addresses we connect to: names of strangers decide about outbound requests, and must not reach what is ours.
 * https://www.iana.org/assignments/iana-ipv4-special-registry/ and its IPv6 sister
 */
import { BlockList, isIP, isIPv4 } from 'node:net'

/** A network: `10.0.0.0/8`, `fd00::/8`, or one address. */
export interface Network {
  readonly address: string
  readonly prefix: number
  readonly family: 'ipv4' | 'ipv6'
}

export interface AddressFilter {
  /** Whether we may connect to an address. @param address an IP literal without brackets; anything else is refused */
  permits(address: string): boolean
}

const BLOCKED_IPV4 = [
  '0.0.0.0/8', // this host, unspecified
  '10.0.0.0/8', // private
  '100.64.0.0/10', // shared by carriers (CGNAT)
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, metadata services of clouds
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast
]

/** Global unicast is 2000::/3: all around it is blocked, and the parts of it that are not for hosts. */
const BLOCKED_IPV6 = [
  '::/3', // unspecified, loopback, IPv4-mapped, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard
  '2001::/23', // protocol assignments: Teredo, benchmarks, ORCHID
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: carries any IPv4 address
  '3fff::/20', // documentation
  '4000::/2', // reserved
  '8000::/1', // reserved, unique local, link-local, multicast
]

/**
 * The filter with an operator's exceptions.
 * @param exceptions networks that are permitted although they are on the default block list
 */
export function createAddressFilter(exceptions: readonly Network[]): AddressFilter {
  // Two lists: Node compares IPv4 addresses with IPv6 networks as IPv4-mapped, so `::/3` would block them all.
  const blocked4 = blockList(BLOCKED_IPV4.map(knownNetwork))
  const blocked6 = blockList(BLOCKED_IPV6.map(knownNetwork))
  const allowed4 = blockList(exceptions.filter(({ family }) => family === 'ipv4'))
  const allowed6 = blockList(exceptions.filter(({ family }) => family === 'ipv6'))
  return {
    permits(address) {
      if (isIPv4(address)) return allowed4.check(address, 'ipv4') || !blocked4.check(address, 'ipv4')
      if (isIP(address) !== 6 || address.includes('%')) return false
      return allowed6.check(address, 'ipv6') || !blocked6.check(address, 'ipv6')
    },
  }
}

/** Reads a network in CIDR notation, or one address. @returns undefined where the text is neither */
export function parseNetwork(text: string): Network | undefined {
  const [address = '', digits, ...rest] = text.split('/')
  const version = address.includes('%') ? 0 : isIP(address)
  if (version === 0 || rest.length > 0) return undefined
  const longest = version === 4 ? 32 : 128
  if (digits !== undefined && !/^\d{1,3}$/.test(digits)) return undefined
  const prefix = digits === undefined ? longest : Number(digits)
  return prefix > longest ? undefined : { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' }
}

function knownNetwork(text: string): Network {
  const network = parseNetwork(text)
  if (network === undefined) throw new Error(`not a network: ${text}`)
  return network
}

function blockList(networks: readonly Network[]): BlockList {
  const list = new BlockList()
  for (const { address, prefix, family } of networks) list.addSubnet(address, prefix, family)
  return list
}
