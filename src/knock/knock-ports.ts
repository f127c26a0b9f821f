/** What the two use cases are given: our name, the rooms, the keys, the time, the operator's limits, and the way of running. */
import type { Ed25519 } from '../matrix/ed25519.ts'
import type { ServerName } from '../matrix/identifiers.ts'
import type { Landing } from './landing.ts'
import type { KnockLimits } from './limits.ts'
import type { Rooms } from './open-room.ts'
import type { Clock, Keyring, RoomStore } from './ports/rooms.ts'
import type { Templates } from './templates.ts'

export interface KnockPorts {
  /** Our own, undelegated name. */
  readonly serverName: ServerName
  readonly store: RoomStore
  readonly rooms: Rooms
  readonly keyring: Keyring
  readonly ed25519: Ed25519
  readonly limits: KnockLimits
  readonly templates: Templates
  readonly landing: Landing
  readonly clock: Clock
}
