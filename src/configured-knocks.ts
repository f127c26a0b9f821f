/** The use cases behind the listener that the configuration describes, with the operator's limits. */
import type { Config } from './config/schema.ts'
import type { ConfiguredHomeserver } from './configured-homeserver.ts'
import { type KnockCalls, knocksOnKnownRooms } from './knock/knock-calls.ts'
import { createKnockPorts } from './knock/knock-ports.ts'
import { createKnockPolicy, type KnockPolicy } from './knock/policy.ts'
import type { Clock, Keyring } from './knock/ports.ts'
import type { Store } from './knock/store-ports.ts'
import { nativeEd25519 } from './matrix/ed25519.ts'

export interface ConfiguredKnocksParts {
  readonly config: Config
  readonly store: Store
  readonly keyring: Keyring
  readonly clock: Clock
}

/** @param homeserver undefined where this store is the authority of its rooms */
export function createConfiguredKnocks(
  { config, store, keyring, clock }: ConfiguredKnocksParts,
  homeserver: ConfiguredHomeserver | undefined,
): KnockCalls {
  const policy = createConfiguredPolicy(config, clock)
  const ports = { serverName: config.server_name, store, keyring, ed25519: nativeEd25519, policy, clock }
  return knocksOnKnownRooms(createKnockPorts(ports, homeserver))
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
