/**
 * From a server name to addresses, Host header and certificate name, step by step as the specification numbers them.
 * https://spec.matrix.org/latest/server-server-api/#resolving-server-names
 */
import { type ServerName, type ServerNameParts, splitServerName } from '../../matrix/identifiers.ts'
import { type Failure, failure, type Lack } from '../failure.ts'
import type { AddressFilter } from './address-filter.ts'
import type { Resolver, ServiceRecord } from './resolver.ts'
import { orderServices } from './service-order.ts'
import { type Target, targetAt } from './targets.ts'
import type { WellKnown } from './well-known.ts'

export type DiscoveryResult =
  /** At least one target, best first. */
  { readonly kind: 'found'; readonly targets: readonly Target[] } | Failure

export interface Discovery {
  /** Where to reach a server. Names of hosts that may not be connected to fail. @param deadline absolute, milliseconds */
  discover(server: ServerName, deadline: number): Promise<DiscoveryResult>
  /** The targets of this server did not work: what was cached about its delegation is asked again soon. */
  unreachable(server: ServerName): void
}

export interface DiscoveryOptions {
  readonly resolver: Resolver
  readonly wellKnown: WellKnown
  readonly filter: AddressFilter
  /** Uniform in [0, 1): chooses among SRV records of equal priority. */
  readonly random: () => number
  /** The port of names without one. Default 8448. */
  readonly defaultPort?: number
}

const MAX_TARGETS = 8
const MAX_SERVICES = 4

export function createDiscovery(options: DiscoveryOptions): Discovery {
  const { resolver, wellKnown, filter, random, defaultPort = 8448 } = options

  /** The addresses of a host that may be connected to, as targets of a server. */
  async function hostTargets(name: string, parts: ServerNameParts, host: string, port: number): Promise<Found> {
    const found = await resolver.addresses(host)
    if (found.kind === 'absent') return { targets: [], reason: `${host} has no address` }
    if (found.kind === 'failed') return { targets: [], reason: found.reason, lack: found.lack }
    return permitted(name, parts, found.records, port)
  }

  function permitted(name: string, parts: ServerNameParts, addresses: readonly string[], port: number): Found {
    const usable = addresses.filter((address) => filter.permits(address))
    const targets = usable.map((address) => targetAt(name, parts, address, port))
    return { targets, reason: `${addresses.join(', ')}: not permitted` }
  }

  /** Steps 3.3 to 3.5 for a delegated name, 4 to 6 for the name itself: the same look-ups. */
  async function byService(name: string, parts: ServerNameParts): Promise<Found> {
    // Both services are asked at once: where DNS hangs, waiting for one after the other costs the whole deadline.
    const registered = resolver.services(`_matrix-fed._tcp.${parts.host}`)
    const deprecated = resolver.services(`_matrix._tcp.${parts.host}`)
    for (const service of [registered, deprecated]) {
      const answer = await service
      if (answer.kind === 'found') return serviceTargets(name, parts, answer.records)
      if (answer.kind === 'failed' && answer.lack !== undefined) {
        return { targets: [], reason: answer.reason, lack: answer.lack }
      }
    }
    return hostTargets(name, parts, parts.host, defaultPort)
  }

  async function serviceTargets(
    name: string,
    parts: ServerNameParts,
    records: readonly ServiceRecord[],
  ): Promise<Found> {
    const services = orderServices(records, random).slice(0, MAX_SERVICES)
    if (services.length === 0) return { targets: [], reason: `${parts.host} offers no federation by SRV` }
    // The certificate is for the name, never for the SRV target: DNS is not to be trusted with that.
    const found = await Promise.all(services.map(({ target, port }) => hostTargets(name, parts, target, port)))
    return {
      targets: found.flatMap(({ targets }) => targets),
      reason: found.map(({ reason }) => reason).join('; '),
      lack: found.find(({ lack }) => lack !== undefined)?.lack,
    }
  }

  /** Steps 1 and 2, which the delegated name shares as 3.1 and 3.2; undefined where there is neither literal nor port. */
  function direct(name: string, parts: ServerNameParts): Promise<Found> | undefined {
    const { host, port, literal } = parts
    if (literal !== undefined) return Promise.resolve(permitted(name, parts, [host], port ?? defaultPort))
    return port === undefined ? undefined : hostTargets(name, parts, host, port)
  }

  async function find(server: string, deadline: number): Promise<Found> {
    const parts = partsOf(server)
    const asNamed = direct(server, parts)
    if (asNamed !== undefined) return asNamed
    const delegated = await wellKnown.delegationOf(parts.host, deadline)
    if (delegated === undefined) return byService(server, parts)
    if (typeof delegated === 'object') return { targets: [], ...delegated }
    const delegatedParts = partsOf(delegated)
    return direct(delegated, delegatedParts) ?? byService(delegated, delegatedParts)
  }

  return {
    async discover(server, deadline) {
      if (splitServerName(server) === undefined) return { kind: 'failed', reason: 'it is no server name' }
      const { targets, reason, lack } = await find(server, deadline)
      return targets.length > 0 ? { kind: 'found', targets: targets.slice(0, MAX_TARGETS) } : failure(reason, lack)
    },
    unreachable(server) {
      const parts = splitServerName(server)
      if (parts?.port === undefined && parts?.literal === undefined && parts !== undefined)
        wellKnown.distrust(parts.host)
    },
  }
}

interface Found {
  readonly targets: readonly Target[]
  /** Why there are none, where there are none. */
  readonly reason: string
  readonly lack?: Lack | undefined
}

function partsOf(name: string): ServerNameParts {
  const parts = splitServerName(name)
  if (parts === undefined) throw new Error(`not a server name: ${name}`)
  return parts
}
