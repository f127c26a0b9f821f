/** The outbound side of a server under test, in a world of loopback servers with a DNS of their own. */

import { parseNetwork } from '../../src/federation/discovery/address-filter.ts'
import { createFederation, type Federation, type FederationOptions } from '../../src/federation/federation.ts'
import type { KeyStore, StoredServerKeys } from '../../src/knock/ports/rooms.ts'
import { nativeEd25519, type SigningKey } from '../../src/matrix/ed25519.ts'
import type { KeyId, ServerName } from '../../src/matrix/identifiers.ts'
import { signingKeyFromSeed } from '../../src/matrix/portable-ed25519.ts'
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts'
import { type FakeDns, startFakeDns } from '../support/fake-dns.ts'
import { startTlsServer, type TlsServer } from '../support/tls-server.ts'

/** The name of the server under test. */
export const OURS = 'ours.example.test' as ServerName

export interface World {
  readonly authority: CertificateAuthority
  readonly dns: FakeDns
  /** One machine for all names that end in `.example.test`: tell them apart by their Host header. */
  readonly machine: TlsServer
  readonly signingKey: SigningKey
  /** What the store keeps. */
  readonly stored: Map<ServerName, StoredServerKeys>
  readonly store: KeyStore
  /** Milliseconds by which the tested side's clock is ahead. */
  ahead: number
  now(): number
  /** A name of the machine, with its port: no delegation is asked. */
  name(host: string): ServerName
  /** The tested side as after a restart: nothing in memory, the store as it was. */
  federation(options?: Partial<FederationOptions>): Federation
  close(): Promise<void>
}

export async function startWorld(): Promise<World> {
  const authority = createCertificateAuthority()
  const dns = await startFakeDns()
  const machine = await startTlsServer(authority.issue(['*.example.test', '127.0.0.1']))
  const stored = new Map<ServerName, StoredServerKeys>()
  const started: Federation[] = []
  const signingKey = signingKeyFromSeed('ed25519:ours' as KeyId, new Uint8Array(32).fill(7))
  const loopback = parseNetwork('127.0.0.0/8')
  const world: World = {
    authority,
    dns,
    machine,
    signingKey,
    stored,
    store: {
      readServerKeys: async (server) => stored.get(server),
      async writeServerKeys(keys) {
        stored.set(keys.server, keys)
      },
    },
    ahead: 0,
    now: () => Date.now() + world.ahead,
    name(host) {
      dns.zones.set(host, { addresses: ['127.0.0.1'] })
      return `${host}:${machine.port}` as ServerName
    },
    federation(options = {}) {
      const federation = createFederation({
        serverName: OURS,
        signingKey,
        ed25519: nativeEd25519,
        keyStore: world.store,
        clock: world.now,
        random: () => 0.5,
        caCertificates: [authority.cert],
        allowedNetworks: loopback === undefined ? [] : [loopback],
        oldVerifyKeys: new Map(),
        trustedKeyServers: [],
        dnsServers: [dns.server],
        hostsPath: '/nowhere/hosts',
        ...options,
      })
      started.push(federation)
      return federation
    },
    async close() {
      await Promise.all(started.map((federation) => federation.close()))
      await Promise.all([dns.close(), machine.close()])
    },
  }
  return world
}
