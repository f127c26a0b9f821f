/**
 * The outbound side put together: one guarded agent and one discovery behind the keyring and the signed client.
 * https://spec.matrix.org/latest/server-server-api/
 */
import { createFairSlots } from '../concurrency/fair-slots.ts'
import type { Clock, Keyring, KeyStore } from '../knock/ports/rooms.ts'
import type { Ed25519, SigningKey } from '../matrix/ed25519.ts'
import type { KeyId, ServerName } from '../matrix/identifiers.ts'
import { createTransactionSender, type TransactionSender } from './delivery/transaction.ts'
import { createAddressFilter, type Network } from './discovery/address-filter.ts'
import { createHostsFile } from './discovery/hosts-file.ts'
import { createResolver } from './discovery/resolver.ts'
import { createDiscovery, type Discovery } from './discovery/server-discovery.ts'
import { createWellKnown } from './discovery/well-known.ts'
import { createHttpAgent } from './http/agent.ts'
import { createFederationClient, type FederationClient } from './http/signed-client.ts'
import { createKeyClient } from './keys/client.ts'
import { createKeyring, type KeyringOptions } from './keys/keyring.ts'
import { createNotary, type TrustedKeyServer } from './keys/notary.ts'

export interface FederationOptions {
  readonly serverName: ServerName
  /** Undefined where the homeserver keeps it to itself: keys of others can be had without, deliveries cannot be made. */
  readonly signingKey: SigningKey | undefined
  readonly ed25519: Ed25519
  readonly keyStore: KeyStore
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** `federation.ca_path`: the certificates of the files, each read by parseCertificateBundle. */
  readonly caCertificates: readonly string[]
  /** `federation.ip_range_allowlist`, each read by parseNetwork. */
  readonly allowedNetworks: readonly Network[]
  /** `old_verify_keys`. */
  readonly oldVerifyKeys: ReadonlyMap<KeyId, readonly Uint8Array[]>
  /** `federation.trusted_key_servers`. */
  readonly trustedKeyServers: readonly TrustedKeyServer[]
  /** Public keys that are refused wherever they appear, 32 bytes each. */
  readonly deniedKeys?: readonly Uint8Array[]
  /** Name servers as `IP` or `IP:PORT`; the machine's own where left out. */
  readonly dnsServers?: readonly string[]
  /** Default `/etc/hosts`. */
  readonly hostsPath?: string
  /** Ports of names that tell none: 443 for well-known, 8448 for federation. */
  readonly ports?: { readonly wellKnown: number; readonly federation: number }
  readonly keyLimits?: Pick<
    KeyringOptions,
    | 'maxLookups'
    | 'maxRefreshes'
    | 'maxWaiting'
    | 'patienceMs'
    | 'timeoutMs'
    | 'coolDownMs'
    | 'maxBackoffMs'
    | 'maxKnown'
  >
  readonly onLookup?: NonNullable<KeyringOptions['onLookup']>
  readonly onLack?: NonNullable<KeyringOptions['onLack']>
  /** Servers that are sent to at a time: connections to more are not kept. Default 32. */
  readonly maxDeliveries?: number
}

export interface Federation {
  readonly keyring: Keyring
  readonly discovery: Discovery
  readonly client: FederationClient
  readonly sender: TransactionSender
  /** Ends all connections and questions. Stop the delivery worker first. */
  close(): Promise<void>
}

/**
 * Exchanges that look-ups of keys have under way, half of them with one address or for one cause. One that takes long gives
 * way to those that wait.
 */
const LOOK_UP_EXCHANGES = { slots: 256, perCause: 128, spare: 64, maxWaiting: 1024, patienceMs: 3_000 }

const DEFAULT_PORTS = { wellKnown: 443, federation: 8448 }

export function createFederation(options: FederationOptions): Federation {
  const { serverName, signingKey, ed25519, clock, random, dnsServers, ports = DEFAULT_PORTS } = options
  const { onLookup, onLack } = options
  const hosts = createHostsFile(options.hostsPath ?? '/etc/hosts', clock)
  const resolver = createResolver({ hosts, clock, ...(dnsServers && { servers: dnsServers }) })
  const filter = createAddressFilter(options.allowedNetworks)
  const guard = { filter, clock, caCertificates: options.caCertificates }
  const agent = createHttpAgent({ ...guard, turns: createFairSlots(LOOK_UP_EXCHANGES) })
  // Deliveries have connections of their own, as many as lanes: no look-up of keys has to wait for one.
  const deliveryAgent = createHttpAgent({ ...guard, maxTargets: options.maxDeliveries ?? 32, perTarget: 1 })
  const wellKnown = createWellKnown({ resolver, agent, clock, port: ports.wellKnown })
  const discovery = createDiscovery({ resolver, wellKnown, filter, random, defaultPort: ports.federation })
  const sender = { serverName, signingKey, ed25519, discovery }
  const client = createFederationClient({ ...sender, agent })
  const deliveryClient = createFederationClient({ ...sender, agent: deliveryAgent })

  const deniedKeys = new Set(options.deniedKeys?.map((key) => Buffer.from(key).toString('base64')))
  const denied = (key: Uint8Array): boolean =>
    deniedKeys.size > 0 && deniedKeys.has(Buffer.from(key).toString('base64'))
  const lookUp = { discovery, agent, ed25519, clock, denied }
  const keyring = createKeyring({
    serverName,
    signingKey,
    oldVerifyKeys: options.oldVerifyKeys,
    store: options.keyStore,
    direct: createKeyClient(lookUp),
    notaries: options.trustedKeyServers.map((notary) => createNotary(notary, lookUp)),
    denied,
    clock,
    ...options.keyLimits,
    ...(onLookup && { onLookup }),
    ...(onLack && { onLack }),
  })

  return {
    keyring,
    discovery,
    client,
    sender: createTransactionSender({ serverName, client: deliveryClient, clock }),
    async close() {
      resolver.close()
      await Promise.all([agent.close(), deliveryAgent.close()])
    },
  }
}
