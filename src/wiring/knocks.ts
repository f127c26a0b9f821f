/** The use cases behind the listener that the configuration describes, with the operator's limits. */
import type { Config } from '../config/schema.ts'
import { type KnockCalls, knocksOnKnownRooms, knocksPassedOn } from '../knock/knock-calls.ts'
import type { KnockPorts } from '../knock/knock-ports.ts'
import { byForwarding, byInjecting, byRecord } from '../knock/landing.ts'
import { createKnockLimits, type KnockLimits } from '../knock/limits.ts'
import { createRooms } from '../knock/open-room.ts'
import { createSeenVersions } from '../knock/pass-on/seen-versions.ts'
import type { Handover, RoomSupply, Upstream } from '../knock/ports/homeserver.ts'
import type { AttemptStore, Clock, Keyring } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { homeserverTemplates, ownTemplates } from '../knock/templates.ts'
import type { Ed25519 } from '../matrix/ed25519.ts'

/** A homeserver next door, as far as knocks need it. */
export interface KnockHomeserver {
  readonly supply: RoomSupply
  readonly handover: Handover
  /** It writes the event templates itself; undefined where we do. */
  readonly templates: Upstream | undefined
}

/** Rooms whose decoded facts stay in memory. */
const MAX_ROOMS_IN_MEMORY = 1_000

/**
 * Chooses the way in which knocks come into rooms and templates are written.
 * @param homeserver undefined where the store is the authority of its rooms
 */
export function createKnockPorts(
  ports: Omit<KnockPorts, 'rooms' | 'landing' | 'templates'> & { readonly store: AttemptStore },
  homeserver: KnockHomeserver | undefined,
): KnockPorts {
  const { store } = ports
  const rooms = createRooms(store, MAX_ROOMS_IN_MEMORY, homeserver?.supply)
  const own = ownTemplates({ ...ports, rooms })
  if (homeserver === undefined) return { ...ports, rooms, templates: own, landing: byRecord }
  const { handover, templates } = homeserver
  return {
    ...ports,
    rooms,
    templates: templates === undefined ? own : homeserverTemplates(templates, store),
    landing: handover.homeserverDelivers ? byForwarding(handover) : byInjecting(handover, store),
  }
}

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
  const ports = { serverName: config.server_name, store, keyring, ed25519, limits: createLimits(config, clock), clock }
  if (upstream === undefined) return knocksOnKnownRooms(createKnockPorts(ports, homeserver))
  return knocksPassedOn({ ...ports, upstream, versions: createSeenVersions() })
}

function createLimits({ limits }: Config, clock: Clock): KnockLimits {
  const { per_user: perUser, per_room: perRoom, per_server: perServer } = limits
  return createKnockLimits(
    {
      ...(perUser && { perUser: { knocks: perUser.knocks, perSeconds: perUser.per_seconds } }),
      ...(perRoom && { perRoom: { knocks: perRoom.knocks, perSeconds: perRoom.per_seconds } }),
      ...(perServer && { perServer: { knocks: perServer.knocks, perSeconds: perServer.per_seconds } }),
    },
    clock,
  )
}
