/**
 * Keeps the store's rooms as fresh as decisions need them: read on first use, again when they may have changed, each room
 * by one reader at a time, in turns that are shared fairly. docs/decisions/0008-rooms-from-a-homeserver.md
 */
import { LRUCache } from 'lru-cache'
import type { RoomFreshness, RoomQuestion, RoomSupply } from '../knock/ports/homeserver.ts'
import type { Clock, RoomStore } from '../knock/ports/rooms.ts'
import type { RoomId } from '../matrix/identifiers.ts'
import { type RoomStagingPorts, stageRoom } from '../rooms/stage-room.ts'
import type { HomeserverClient } from './homeserver-client.ts'
import type { Liveness } from './liveness.ts'
import type { LocalUsers } from './local-users.ts'
import type { RoomEnds } from './room-edge.ts'
import { lookAtRoom, lookFurther, type RoomLook } from './room-look.ts'
import { createRoomMemory, hasChanged } from './room-memory.ts'
import { readRoom } from './room-reader.ts'
import { createRoomTurns } from './room-turns.ts'

export interface RoomSupplyOptions {
  readonly client: HomeserverClient
  readonly liveness: Liveness
  readonly ports: RoomStagingPorts & { readonly store: Pick<RoomStore, 'readRoom'> }
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
  /** The homeserver has told of the room: it is there. */
  told(roomId: RoomId): void
  /** The room has changed on the homeserver: what was read before counts no longer. */
  changed(roomId: RoomId): void
  /** A knock came into the room that is recorded here by itself: what is being read now may lack it. */
  knocked(roomId: RoomId): void
  /** Reads a room before anybody asks, if it is not known. */
  load(roomId: RoomId): void
}

/**
 * Rooms of which nothing is known: anybody can name some. In all no more than twelve a second that are not there, which
 * leaves most of what homeservers allow a server, and four a second for one origin.
 */
const LOOKS = { places: 6, perOrigin: 2, patienceMs: 10_000 }
const LOOK_MS = 20_000
/** Rooms that are there. Large ones take their time, and go on while others have their turn. */
const READINGS = { places: 4, perOrigin: 2, patienceMs: 20_000 }
/** A large room may take longer than the request that asked for it first. */
const READING_MS = 120_000
/** So long after a change a decision may still rest on what was before it. */
const OWED_MS = 1_000
/** So long a reading may rest on the look because of which it began. It counts as of that look. */
const LOOK_HOLDS_MS = 10_000
const MAX_LOOKS = 1_000
const NEVER = Number.NEGATIVE_INFINITY

/** What the first look at a room told. */
interface TakenLook {
  readonly look: RoomLook
  /** When it began, in milliseconds. */
  readonly at: number
  /** Changes of the room that were known then. */
  readonly changes: number
}

export function createRoomSupply(options: RoomSupplyOptions): HomeserverRooms {
  const { client, liveness, ports, localUsers, clock, observer } = options
  const { serverName, store } = ports
  const search = { client, serverName, clock, localUsers }
  const memory = createRoomMemory(options)
  const looks = new LRUCache<RoomId, TakenLook>({ max: MAX_LOOKS })
  const lookTurns = createRoomTurns<RoomFreshness | 'there'>({
    ...LOOKS,
    clock,
    isKnown: ({ roomId, notBefore }) =>
      memory.find(roomId) !== undefined || memory.answer(roomId, notBefore) !== undefined,
    ask: look,
    isVain: (told) => told !== 'there',
  })
  const readingTurns = createRoomTurns<RoomFreshness>({
    ...READINGS,
    clock,
    isKnown: ({ roomId, notBefore }) => memory.answer(roomId, notBefore) !== undefined,
    ask: read,
    isVain: ({ kind }) => kind !== 'fresh',
  })

  async function isThere(roomId: RoomId): Promise<boolean> {
    if (memory.find(roomId) !== undefined) return true
    // Read before the last start, or by another process.
    return (await store.readRoom(roomId, undefined)) !== undefined
  }

  async function look(roomId: RoomId): Promise<RoomFreshness | 'there'> {
    const taken = await takeLook(roomId, LOOK_MS)
    const isHere = taken.look.kind === 'ends' || (taken.look.kind === 'absent' && taken.look.othersMayBeIn)
    if (!isHere) return missed(roomId, taken.look, taken.changes)
    looks.set(roomId, taken)
    memory.there(roomId)
    return 'there'
  }

  async function read(roomId: RoomId): Promise<RoomFreshness> {
    const start = clock()
    const { look, at, changes } = recentLook(roomId) ?? (await takeLook(roomId, READING_MS))
    const found = await lookFurther(search, roomId, look, start + READING_MS)
    if (found.kind !== 'ends') return missed(roomId, found, changes)
    const failure = await readInto(options, roomId, found, start + READING_MS)
    if (failure !== undefined) return missed(roomId, { kind: 'unavailable', reason: failure }, changes)
    observer.read(roomId, clock() - start)
    localUsers.joined(roomId, found.user)
    memory.read(roomId, at, changes)
    return { kind: 'fresh', ageMs: 0 }
  }

  async function takeLook(roomId: RoomId, withinMs: number): Promise<TakenLook> {
    const [at, changes] = [clock(), memory.changesOf(roomId)]
    return { look: await lookAtRoom(search, roomId, at + withinMs), at, changes }
  }

  /** The look because of which a room is read, where that holds still. */
  function recentLook(roomId: RoomId): TakenLook | undefined {
    const taken = looks.get(roomId)
    looks.delete(roomId)
    const holds =
      taken !== undefined && clock() - taken.at <= LOOK_HOLDS_MS && taken.changes === memory.changesOf(roomId)
    return holds ? taken : undefined
  }

  /** Remembers that nothing can be told of a room, unless that is so because the homeserver tells of none. */
  async function missed(roomId: RoomId, found: Exclude<RoomLook, RoomEnds>, changes: number): Promise<RoomFreshness> {
    const outcome = found.kind === 'absent' ? ({ kind: 'absent' } as const) : await blamed(found.reason)
    if (outcome.kind !== 'absent') observer.failed(roomId, outcome.reason)
    memory.missed(roomId, outcome, changes)
    return outcome
  }

  async function blamed(reason: string, deadline = Number.POSITIVE_INFINITY) {
    return { kind: (await liveness.answers(deadline)) ? 'unavailable' : 'out of order', reason } as const
  }

  async function ask(roomId: RoomId, { origin, deadline, notBefore = NEVER }: RoomQuestion): Promise<RoomFreshness> {
    const asked = clock()
    const wanted = { roomId, origin, notBefore, by: deadline }
    for (;;) {
      const known = memory.answer(roomId, notBefore)
      if (known !== undefined) return known
      const told = await ((await isThere(roomId)) ? readingTurns : lookTurns).ask(wanted)
      if (told === undefined) return blamed('the room is still being read', deadline)
      if (told === 'too many') return { kind: 'unavailable', reason: 'too many rooms are asked for' }
      if (told === 'there' || told === 'known') continue
      const room = memory.find(roomId)
      if (told.kind !== 'fresh' || room === undefined) return told
      if (room.readAt < notBefore) continue
      const age = clock() - room.readAt
      // It changed while it was read: once more, while there is time. What is as young as this is owed to nobody
      // younger, so a room in which something always happens can be knocked on too.
      if (!hasChanged(room) || (room.readAt >= asked && age <= OWED_MS)) return { kind: 'fresh', ageMs: age }
    }
  }

  return {
    async refresh(roomId, question) {
      const known = memory.answer(roomId, question.notBefore ?? NEVER)
      if (known !== undefined) return known
      const stopAsking = liveness.askBefore(question.deadline)
      return ask(roomId, question).finally(stopAsking)
    },
    told: memory.there,
    changed: memory.changed,
    knocked(roomId) {
      if (readingTurns.isUnderWay(roomId)) memory.changed(roomId)
    },
    load(roomId) {
      if (Number.isFinite(memory.find(roomId)?.readAt)) return
      const wanted = { roomId, origin: serverName, notBefore: NEVER, by: clock() + READING_MS }
      readingTurns.ask(wanted).catch((error) => observer.failed(roomId, String(error)))
    },
  }
}

/** Reads a room into the store. @returns why that failed, where it did */
async function readInto(
  { client, ports }: RoomSupplyOptions,
  roomId: RoomId,
  ends: RoomEnds,
  deadline: number,
): Promise<string | undefined> {
  const room = await readRoom(client, roomId, ends, deadline)
  if (room.kind === 'unavailable') return room.reason
  const { header, events } = room
  const report = await stageRoom(ports, { header, events, discardKnocks: true })
  return report.kind === 'refused' ? report.reason : undefined
}
