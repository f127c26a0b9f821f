/** The use cases behind the listener that the configuration describes, with the operator's limits. */
import type { Config } from '../config/schema.ts'
import { type KnockCalls, knocksOnKnownRooms, knocksPassedOn } from '../knock/knock-calls.ts'
import { createKnockPolicy, type KnockPolicy } from '../knock/limits.ts'
import { createSeenVersions } from '../knock/pass-on/seen-versions.ts'
import type { Upstream } from '../knock/ports/homeserver.ts'
import type { Clock, Keyring } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { createKnockPorts, type KnockHomeserver } from '../knock/ports/use-cases.ts'
import type { Ed25519 } from '../matrix/ed25519.ts'

export interface ConfiguredKnocksParts {
  readonly config: Config
  readonly store: Store
  readonly keyring: Keyring
  readonly ed25519: Ed25519
  readonly clock: Clock
  /** Undefined where this store is the authority of its rooms, or where they cannot be read. */
  readonly homeserver: KnockHomeserver | undefined
  /** The homeserver whose rooms cannot be read. */
  readonly upstream: Upstream | undefined
}

export function createConfiguredKnocks(parts: ConfiguredKnocksParts): KnockCalls {
  const { config, store, keyring, ed25519, clock, homeserver, upstream } = parts
  const policy = createConfiguredPolicy(config, clock)
  const ports = { serverName: config.server_name, store, keyring, ed25519, policy, clock }
  if (upstream === undefined) return knocksOnKnownRooms(createKnockPorts(ports, homeserver))
  return knocksPassedOn({ ...ports, upstream, versions: createSeenVersions() })
}

function createConfiguredPolicy({ limits }: Config, clock: Clock): KnockPolicy {
  const { per_user: perUser, per_room: perRoom, per_server: perServer } = limits
  return createKnockPolicy(
    {
      ...(perUser && { perUser: { knocks: perUser.knocks, perSeconds: perUser.per_seconds } }),
      ...(perRoom && { perRoom: { knocks: perRoom.knocks, perSeconds: perRoom.per_seconds } }),
      ...(perServer && { perServer: { knocks: perServer.knocks, perSeconds: perServer.per_seconds } }),
    },
    clock,
  )
}
