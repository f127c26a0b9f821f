/** What the two use cases are given: our name, the rooms, the keys, the time and the operator's policy. */
import type { Ed25519 } from '../../matrix/ed25519.ts'
import type { ServerName } from '../../matrix/identifiers.ts'
import type { KnockPolicy } from '../limits.ts'
import { createRooms, type Rooms } from '../open-room.ts'
import type { Handover, RoomSupply, Upstream } from './homeserver.ts'
import type { AttemptStore, Clock, Keyring, RoomStore } from './rooms.ts'

export interface KnockPorts {
  /** Our own, undelegated name. */
  readonly serverName: ServerName
  readonly store: RoomStore & Pick<AttemptStore, 'beginAttempt' | 'endAttempt'>
  readonly rooms: Rooms
  readonly keyring: Keyring
  readonly ed25519: Ed25519
  readonly policy: KnockPolicy
  /** How accepted knocks come into their rooms on a homeserver; undefined where this store is the rooms' authority. */
  readonly handover: Handover | undefined
  /** The homeserver where it writes the event templates; undefined where we do. */
  readonly templates: Upstream | undefined
  readonly clock: Clock
}

/** Rooms whose decoded facts stay in memory. */
const MAX_ROOMS_IN_MEMORY = 1_000

/** A homeserver next door, as far as knocks need it. */
export interface KnockHomeserver {
  readonly supply: RoomSupply
  readonly handover: Handover
  /** It writes the event templates itself; undefined where we do. */
  readonly templates: Upstream | undefined
}

/** The ports with a cache of rooms over the store. */
export function createKnockPorts(
  ports: Omit<KnockPorts, 'rooms' | 'handover' | 'templates'>,
  homeserver: KnockHomeserver | undefined,
): KnockPorts {
  const rooms = createRooms(ports.store, MAX_ROOMS_IN_MEMORY, homeserver?.supply)
  return { ...ports, rooms, handover: homeserver?.handover, templates: homeserver?.templates }
}
