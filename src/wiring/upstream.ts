/** The homeserver next door that keeps its signing key to itself: its rooms cannot be read, requests can be sent on to it. */
import type { OperatorFiles } from '../config/operator-files.ts'
import type { Config } from '../config/schema.ts'
import { createHomeserverClient, markerOf } from '../homeserver/homeserver-client.ts'
import { createLiveness } from '../homeserver/liveness.ts'
import { blamingUpstream, createUpstream } from '../homeserver/upstream.ts'
import type { Upstream } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import { nativeEd25519 } from '../matrix/ed25519.ts'

export interface ConfiguredUpstream {
  readonly upstream: Upstream
  /** Of our own requests to it: a request that comes in with this value went round in a circle. */
  readonly marker: string
  stop(): Promise<void>
}

export interface ConfiguredUpstreamParts {
  readonly config: Config
  readonly files: OperatorFiles
  readonly clock: Clock
}

/** @returns undefined where there is a signing key, with which rooms can be read */
export function createConfiguredUpstream({
  config,
  files,
  clock,
}: ConfiguredUpstreamParts): ConfiguredUpstream | undefined {
  const { url } = config.homeserver
  const { signingKey, caCertificates } = files
  if (signingKey !== undefined || url === undefined) return undefined
  const homeserver = { serverName: config.server_name, signingKey, url }
  const marker = markerOf(homeserver)
  const client = createHomeserverClient({ ...homeserver, marker, caCertificates, ed25519: nativeEd25519, clock })
  const withinMs = config.timeouts.handover_seconds * 1000
  const liveness = createLiveness({ client, clock })
  return {
    upstream: blamingUpstream(createUpstream({ client, clock, withinMs }), liveness),
    marker,
    stop: () => client.close(),
  }
}
