/** The outbound side that the configuration describes, for the service and for commands beside it. */
import type { OperatorFiles } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import { createFederation, type Federation, type FederationOptions } from '../federation/federation.ts'
import type { Clock, KeyStore } from '../knock/ports/rooms.ts'
import { nativeEd25519 } from '../matrix/ed25519.ts'

export interface ConfiguredFederationParts {
  readonly config: Config
  readonly files: OperatorFiles
  readonly keyStore: KeyStore
  readonly clock: Clock
  readonly onLookup?: NonNullable<FederationOptions['onLookup']>
  readonly onLack?: NonNullable<FederationOptions['onLack']>
}

/** The caller closes it. */
export function createConfiguredFederation(parts: ConfiguredFederationParts): Federation {
  const { config, files, keyStore, clock, onLookup, onLack } = parts
  const { federation, server_name: serverName, timeouts } = config
  const { signingKey } = files
  return createFederation({
    serverName,
    signingKey,
    ed25519: nativeEd25519,
    keyStore,
    clock,
    random: Math.random,
    oldVerifyKeys: config.old_verify_keys,
    caCertificates: files.caCertificates,
    allowedNetworks: federation.ip_range_allowlist,
    trustedKeyServers: federation.trusted_key_servers,
    deniedKeys: federation.key_denylist,
    ...(federation.dns_servers && { dnsServers: federation.dns_servers }),
    keyLimits: { timeoutMs: timeouts.key_lookup_seconds * 1000 },
    ...(onLookup && { onLookup }),
    ...(onLack && { onLack }),
    maxDeliveries: config.deliveries.max_parallel,
  })
}
