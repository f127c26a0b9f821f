/**
 * What the homeserver tells as to an application service: which rooms have changed, and that knocks have arrived.
 * https://spec.matrix.org/latest/application-service-api/#pushing-events
 */
import { LRUCache } from 'lru-cache'
import { FACT_TYPES } from '../knock/fact-types.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import {
  type EventId,
  parseRoomId,
  parseUserId,
  type RoomId,
  type ServerName,
  serverNameOf,
} from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../matrix/json.ts'
import type { Acceptance } from './acceptance.ts'
import type { LocalUsers } from './local-users.ts'
import type { HomeserverRooms } from './room-supply.ts'

export interface AppserviceFeed {
  /**
   * Takes the events of a transaction. Those that were taken before change nothing: it is they that are remembered and not
   * the transaction, because some homeservers send a transaction again under its id with further events in it.
   */
  take(events: readonly JsonValue[]): void
  /** Since when the homeserver tells of every change at once; undefined while that is not sure. */
  liveSince(): number | undefined
  /** The homeserver reaches us, though it has nothing to tell. */
  reached(): void
  /** Something went wrong on the way from the homeserver: until it tells again, nothing is sure. */
  interrupted(): void
}

export interface AppserviceFeedOptions {
  readonly serverName: ServerName
  readonly rooms: Pick<HomeserverRooms, 'told' | 'changed' | 'load'>
  readonly localUsers: LocalUsers
  readonly acceptance: Acceptance
  readonly clock: Clock
}

const REMEMBERED_EVENTS = 20_000
/** A homeserver that found us down sends late for a while: what its own users did reaches us with this delay at most. */
const LONGEST_DELAY_MS = 1_000
/** A homeserver that was not heard of for so long may tell somebody else, or nobody. */
const LONGEST_SILENCE_MS = 30_000

export function createAppserviceFeed(options: AppserviceFeedOptions): AppserviceFeed {
  const { clock, serverName } = options
  const taken = new LRUCache<EventId, true>({ max: REMEMBERED_EVENTS })
  let since: number | undefined
  let heardAt = Number.NEGATIVE_INFINITY

  const isSilent = (): boolean => clock() - heardAt > LONGEST_SILENCE_MS
  function hear(): void {
    if (isSilent()) since = undefined
    heardAt = clock()
  }

  /** Only events of our own server tell how late they are: others were late before they came. */
  function noteDelay(events: readonly FedEvent[]): void {
    const own = events.filter(({ sender, time }) => serverOf(sender) === serverName && time !== undefined)
    if (own.length === 0) return
    const newest = own.reduce((latest, { time = latest }) => Math.max(latest, time), Number.NEGATIVE_INFINITY)
    const late = clock() - newest > LONGEST_DELAY_MS
    since = late ? undefined : (since ?? clock())
  }

  return {
    take(values) {
      const events = values.flatMap((value) => readEvent(value) ?? [])
      for (const event of events) {
        if (taken.has(event.eventId)) continue
        taken.set(event.eventId, true)
        takeEvent(options, event)
      }
      hear()
      noteDelay(events)
    },
    liveSince: () => (isSilent() ? undefined : since),
    reached: hear,
    interrupted() {
      since = undefined
    },
  }
}

/** An event in the clients' format, as far as it is looked at. */
interface FedEvent {
  readonly eventId: EventId
  readonly roomId: RoomId
  readonly sender: string
  readonly type: string
  /** Undefined for events that are no state. */
  readonly stateKey: string | undefined
  readonly content: JsonObject
  readonly time: number | undefined
}

/** Synapse tells of events that it left out of the room, with this mark. */
const SOFT_FAILED = 'io.element.synapse.soft_failed'

/** What is no event of a room is passed over: the homeserver would send it again for ever. */
function readEvent(value: JsonValue): FedEvent | undefined {
  if (!isJsonObject(value)) return undefined
  const { event_id: eventId, room_id: room, sender, type, state_key: stateKey, content, origin_server_ts: time } = value
  if (isJsonObject(value.unsigned) && value.unsigned[SOFT_FAILED] === true) return undefined
  const roomId = typeof room === 'string' ? parseRoomId(room) : undefined
  if (roomId === undefined || typeof eventId !== 'string' || typeof type !== 'string') return undefined
  return {
    eventId: eventId as EventId,
    roomId,
    type,
    sender: typeof sender === 'string' ? sender : '',
    stateKey: typeof stateKey === 'string' ? stateKey : undefined,
    content: isJsonObject(content) ? content : {},
    time: typeof time === 'number' ? time : undefined,
  }
}

function takeEvent({ rooms, localUsers, acceptance, serverName }: AppserviceFeedOptions, event: FedEvent): void {
  const { roomId, type, stateKey, content } = event
  rooms.told(roomId)
  if (stateKey === undefined) return
  if (type === 'm.room.member') {
    if (content.membership === 'knock' && acceptance.seen(event.eventId)) return
    rooms.changed(roomId)
    const user = parseUserId(stateKey)
    if (user === undefined || serverNameOf(user) !== serverName) return
    if (content.membership === 'join') localUsers.joined(roomId, user)
    else localUsers.left(roomId, user)
    return
  }
  if (stateKey !== '' || !(FACT_TYPES as readonly string[]).includes(type)) return
  rooms.changed(roomId)
  if (type === 'm.room.join_rules' && typeof content.join_rule === 'string' && content.join_rule.startsWith('knock')) {
    rooms.load(roomId)
  }
}

function serverOf(sender: string): ServerName | undefined {
  const user = parseUserId(sender)
  return user && serverNameOf(user)
}
