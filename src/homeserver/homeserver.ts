/**
 * The homeserver next door put together: one connection behind the supply of rooms, the handover of knocks and the feed of
 * events. docs/decisions/0008-rooms-from-a-homeserver.md
 */
import { within } from '../concurrency/within.ts'
import type { Handover, HandoverOutcome, RoomSupply, RoomWitness, Upstream } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import type { Ed25519, SigningKey } from '../matrix/ed25519.ts'
import type { RoomId, ServerName, UserId } from '../matrix/identifiers.ts'
import { type Acceptance, createAcceptance } from './acceptance.ts'
import { type AppserviceFeed, createAppserviceFeed } from './appservice-feed.ts'
import { createForward } from './forward.ts'
import { createHomeserverClient, type HomeserverClient, markerOf } from './homeserver-client.ts'
import { createInject } from './inject.ts'
import { createLiveness, type Liveness } from './liveness.ts'
import { createLocalUsers } from './local-users.ts'
import { createRoomSupply, type HomeserverRooms } from './room-supply.ts'
import { blamingUpstream, createUpstream } from './upstream.ts'

export interface HomeserverOptions {
  readonly serverName: ServerName
  readonly url: string
  readonly handover: 'inject' | 'forward'
  /** Whose event templates are given out. */
  readonly template: 'own' | 'upstream'
  /** Certificate authorities beside the usual, each a PEM text. */
  readonly caCertificates: readonly string[]
  readonly signingKey: SigningKey
  readonly ed25519: Ed25519
  readonly store: Store
  readonly clock: Clock
  readonly localUsers: readonly UserId[]
  /** `homeserver.max_state_age_seconds`, in milliseconds. */
  readonly maxStateAgeMs: number
  readonly handoverMs: number
  readonly newTransactionId: () => string
  readonly observer: {
    roomRead(roomId: RoomId, milliseconds: number): void
    roomFailed(roomId: RoomId, reason: string): void
  }
}

export interface Homeserver {
  readonly client: HomeserverClient
  readonly supply: RoomSupply
  readonly handover: Handover
  /** Who writes the event templates, where that is the homeserver. */
  readonly templates: Upstream | undefined
  readonly witness: RoomWitness
  readonly feed: AppserviceFeed
  /** The marker header of our own requests. */
  readonly marker: string
  close(): Promise<void>
}

export function createHomeserver(options: HomeserverOptions): Homeserver {
  const { serverName, store, clock, handoverMs, observer } = options
  const marker = markerOf(options)
  const client = createHomeserverClient({ ...options, marker })
  const localUsers = createLocalUsers(options.localUsers, `@matrix-knock:${serverName}` as UserId)
  const acceptance = createAcceptance({ client, localUsers, clock })
  const liveness = createLiveness({ client, clock })
  const rooms = createRoomSupply({
    client,
    liveness,
    ports: { store, serverName },
    localUsers,
    clock,
    liveSince: () => feed.liveSince(),
    maxAgeMs: options.maxStateAgeMs,
    observer: { read: observer.roomRead, failed: observer.roomFailed },
  })
  const feed: AppserviceFeed = createAppserviceFeed({ serverName, rooms, localUsers, acceptance, clock })
  const upstream = createUpstream({ client, clock, withinMs: handoverMs })
  const driver = { acceptance, clock, handoverMs }
  const handover =
    options.handover === 'forward'
      ? createForward({ ...driver, upstream })
      : createInject({ ...driver, client, serverName, newTransactionId: options.newTransactionId })
  return {
    client,
    supply: rooms,
    handover: blaming(doubting(noting(handover, rooms)), liveness),
    templates: options.template === 'upstream' ? blamingUpstream(upstream, liveness) : undefined,
    witness: createWitness(acceptance, rooms, serverName),
    feed,
    marker,
    close: () => client.close(),
  }
}

/** Tells the rooms of each knock that came into one of them: it is recorded after this, whatever is being read meanwhile. */
function noting(handover: Handover, rooms: Pick<HomeserverRooms, 'knocked'>): Handover {
  return {
    ...handover,
    async handOver(knock) {
      const outcome = await handover.handOver(knock)
      if (outcome.kind === 'accepted') rooms.knocked(knock.roomId)
      return outcome
    },
  }
}

/** Looks for knocks in rooms that nobody has asked for yet, too: reading one finds a user in whose name to ask. */
function createWitness(
  acceptance: Acceptance,
  rooms: Pick<HomeserverRooms, 'refresh' | 'changed'>,
  origin: ServerName,
): RoomWitness {
  return {
    async whichAreIn(roomId, knocks, deadline) {
      let found = await acceptance.look(roomId, knocks, deadline)
      if (found === 'absent' && (await rooms.refresh(roomId, { origin, deadline })).kind === 'fresh') {
        found = await acceptance.look(roomId, knocks, deadline)
      }
      if (found === 'unavailable') return undefined
      if (found === 'absent') return new Set()
      // What came after them may be known here, and their record will be laid over it.
      if (found.size > 0) rooms.changed(roomId)
      return found
    },
    onTold: acceptance.onUnawaited,
  }
}

/** Knocks show within half a second. */
const UNSEEN_MS = 2_000

/** Looks at the room anew where a knock does not show in it: it may have come too late, and will never show then. */
function doubting(handover: Handover): Handover {
  return {
    ...handover,
    async handOver(knock) {
      const handing = handover.handOver(knock)
      const soon = await within(UNSEEN_MS, handing)
      if (soon !== undefined) return soon
      const doubt = knock.isRefusedNow().then((refused) => (refused ? OVERTAKEN : handing))
      return Promise.race([handing, doubt])
    },
  }
}

/** Tells a knock of unknown outcome from a homeserver that does not answer at all. */
function blaming(handover: Handover, liveness: Liveness): Handover {
  return {
    ...handover,
    handOver: (knock) => liveness.blame(knock.deadline, () => handover.handOver(knock)),
  }
}

const OVERTAKEN: HandoverOutcome = { kind: 'overtaken' }
