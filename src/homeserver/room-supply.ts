/**
 * Keeps the store's rooms as fresh as decisions need them: read on first use, again when they may have changed, each room
 * by one reader at a time. docs/decisions/0008-rooms-from-a-homeserver.md
 */
import { LRUCache } from 'lru-cache'
import type { RoomFreshness, RoomSupply } from '../knock/homeserver-ports.ts'
import type { Clock } from '../knock/ports.ts'
import type { RoomId } from '../matrix/identifiers.ts'
import { type RoomStagingPorts, stageRoom } from '../rooms/stage-room.ts'
import { createSlots } from '../waiting/slots.ts'
import { within } from '../waiting/within.ts'
import type { HomeserverClient } from './homeserver-client.ts'
import { findLocalUsers } from './local-user-search.ts'
import type { LocalUsers } from './local-users.ts'
import type { Absent, Unavailable } from './room-edge.ts'
import { type RoomReading, readRoom } from './room-reader.ts'

export interface RoomSupplyOptions {
  readonly client: HomeserverClient
  readonly ports: RoomStagingPorts
  readonly localUsers: LocalUsers
  readonly clock: Clock
  /** Since when the homeserver has told of every change; undefined while it does not. Milliseconds since the epoch. */
  readonly liveSince: () => number | undefined
  /** Without a live feed a room is read again when it is older than this. Milliseconds. */
  readonly maxAgeMs: number
  readonly observer: {
    read(roomId: RoomId, milliseconds: number): void
    /** A room that could not be read: one line for the operator. */
    failed(roomId: RoomId, reason: string): void
  }
}

export interface HomeserverRooms extends RoomSupply {
  /** The room has changed on the homeserver: what was read before counts no longer. */
  changed(roomId: RoomId): void
  /** A knock came into the room that is recorded here by itself: what is being read now may lack it. */
  knocked(roomId: RoomId): void
  /** Reads a room before anybody asks, if it is not known. */
  load(roomId: RoomId): void
}

interface Known {
  /** When its reading began: what changed later may not be in it. */
  readonly readAt: number
  readonly changedAt: number
}

const MAX_ROOMS = 10_000
const READINGS_AT_A_TIME = 4
const MAX_WAITING = 256
/** A large room may take longer than the request that asked for it first. */
const READING_MS = 120_000
/** A room that is not there is asked for again after this time, or sooner where rooms are to be known better. */
const ABSENT_MS = 10_000
/** Users found in a room who are tried one after the other. */
const MAX_TRIED = 5
/** So long after a change a decision may still rest on what was before it. */
const OWED_MS = 1_000
/** With a live feed: state resolution changes state without an event, so rooms are read again now and then. */
const LIVE_MAX_AGE_MS = 3_600_000

export function createRoomSupply(options: RoomSupplyOptions): HomeserverRooms {
  const { clock, liveSince, maxAgeMs, observer } = options
  const rooms = new LRUCache<RoomId, Known>({ max: MAX_ROOMS })
  const absent = new LRUCache<RoomId, number>({ max: MAX_ROOMS })
  const readings = new Map<RoomId, Promise<RoomFreshness>>()
  const slots = createSlots(READINGS_AT_A_TIME, MAX_WAITING)

  /** The age of what is stored, or undefined where it must be read again. */
  function ageOf(known: Known, now: number): number | undefined {
    const age = now - known.readAt
    const live = liveSince()
    if (hasChanged(known)) return undefined
    if (live !== undefined && live <= known.readAt && age <= LIVE_MAX_AGE_MS) return 0
    return age <= maxAgeMs ? age : undefined
  }

  async function read(roomId: RoomId): Promise<RoomFreshness> {
    const readAt = clock()
    const outcome = await slots.run(() => readInto(options, roomId, readAt + READING_MS), READING_MS)
    const freshness: RoomFreshness = outcome ?? { kind: 'unavailable', reason: 'too many rooms are being read' }
    if (freshness.kind === 'unavailable') observer.failed(roomId, freshness.reason)
    if (freshness.kind === 'fresh') {
      observer.read(roomId, clock() - readAt)
      rooms.set(roomId, { readAt, changedAt: rooms.get(roomId)?.changedAt ?? Number.NEGATIVE_INFINITY })
    } else rooms.delete(roomId)
    if (freshness.kind === 'absent') absent.set(roomId, clock() + Math.min(ABSENT_MS, maxAgeMs))
    return freshness
  }

  function reading(roomId: RoomId): Promise<RoomFreshness> {
    const underWay = readings.get(roomId)
    if (underWay !== undefined) return underWay
    const started = read(roomId).finally(() => readings.delete(roomId))
    readings.set(roomId, started)
    return started
  }

  function changed(roomId: RoomId): void {
    absent.delete(roomId)
    const known = rooms.get(roomId)
    if (known !== undefined || readings.has(roomId)) {
      rooms.set(roomId, { readAt: known?.readAt ?? Number.NEGATIVE_INFINITY, changedAt: clock() })
    }
  }

  return {
    async refresh(roomId, deadline, notBefore = Number.NEGATIVE_INFINITY) {
      const asked = clock()
      for (;;) {
        const now = clock()
        const known = rooms.get(roomId)
        const knownAge = known && known.readAt >= notBefore ? ageOf(known, now) : undefined
        if (knownAge !== undefined) return { kind: 'fresh', ageMs: knownAge }
        if ((absent.get(roomId) ?? now) > now) return { kind: 'absent' }
        const outcome = await within(deadline - now, reading(roomId))
        if (outcome === undefined) return { kind: 'unavailable', reason: 'the room is still being read' }
        const read = rooms.get(roomId)
        if (outcome.kind !== 'fresh' || read === undefined) return outcome
        if (read.readAt < notBefore) continue
        const age = clock() - read.readAt
        // It changed while it was read: once more, while there is time. What is as young as this is owed to nobody
        // younger, so a room in which something always happens can be knocked on too.
        if (!hasChanged(read) || (read.readAt >= asked && age <= OWED_MS)) return { kind: 'fresh', ageMs: age }
      }
    },
    changed,
    knocked(roomId) {
      if (readings.has(roomId)) changed(roomId)
    },
    load(roomId) {
      if (rooms.has(roomId) || readings.size >= MAX_WAITING) return
      reading(roomId).catch((error) => observer.failed(roomId, String(error)))
    },
  }
}

function hasChanged({ readAt, changedAt }: Known): boolean {
  return changedAt >= readAt
}

async function readInto(options: RoomSupplyOptions, roomId: RoomId, deadline: number): Promise<RoomFreshness> {
  const { client, ports, localUsers } = options
  const known = await readRoom(client, roomId, localUsers.of(roomId), deadline)
  const room = known.kind === 'absent' ? await readAsFound(options, roomId, deadline) : known
  if (room.kind !== 'room') return room
  const { header, events, user } = room
  const report = await stageRoom(ports, { header, events, discardKnocks: true })
  if (report.kind === 'refused') return { kind: 'unavailable', reason: report.reason }
  localUsers.joined(roomId, user)
  return { kind: 'fresh', ageMs: 0 }
}

/** Reads a room as the first of its users who turns out to be joined. */
async function readAsFound(
  options: RoomSupplyOptions,
  roomId: RoomId,
  deadline: number,
): Promise<RoomReading | Absent | Unavailable> {
  const { client, ports } = options
  let tried = 0
  for await (const user of findLocalUsers({ ...options, serverName: ports.serverName }, roomId, deadline)) {
    const room = await readRoom(client, roomId, [user], deadline)
    tried += 1
    if (room.kind !== 'absent' || tried === MAX_TRIED) return room
  }
  return { kind: 'absent' }
}
