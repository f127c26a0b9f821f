/**
 * Turns at asking the homeserver for rooms, one question for all who want to know the same, shared fairly among the servers
 * that ask. What was asked in vain keeps its place for a while, so rooms that somebody invents cost the homeserver no more
 * than so many requests a second, whoever asks and however often. docs/threat-model.md
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createFairSlots } from '../concurrency/fair-slots.ts'
import { within } from '../concurrency/within.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { RoomId, ServerName } from '../matrix/identifiers.ts'

/** Who wants to know what of a room. Absolute times in milliseconds. */
export interface Wanted {
  readonly roomId: RoomId
  readonly origin: ServerName
  /** What was known earlier is not enough. */
  readonly notBefore: number
  /** Until when to wait. */
  readonly by: number
}

export interface RoomTurns<T> {
  /**
   * Shares the question that is under way for the room, or asks when it is the origin's turn.
   * @returns what was told; `known` where that is no question any more; `too many` where others had to go first, and
   *   undefined where there was nothing in time
   */
  ask(wanted: Wanted): Promise<T | 'known' | 'too many' | undefined>
  /** Whether a question for this room is under way. */
  isUnderWay(roomId: RoomId): boolean
}

export interface RoomTurnsOptions<T> {
  /** Turns at a time. */
  readonly places: number
  /** Of them those of one origin. */
  readonly perOrigin: number
  /** How long any question keeps its place while others wait, in milliseconds: it goes on without one. */
  readonly patienceMs: number
  readonly clock: Clock
  /** Asked again when the turn has come. */
  readonly isKnown: (wanted: Wanted) => boolean
  /** Must end by itself. */
  readonly ask: (roomId: RoomId) => Promise<T>
  /** Whether the homeserver was asked in vain. */
  readonly isVain: (told: T) => boolean
}

/** Beyond it the newest of the origin with the most of them never has its turn. */
const MAX_WAITING = 256
const LONGEST_WAIT_MS = 600_000
/** How long a question in vain keeps its place. */
const IN_VAIN_MS = 500

export function createRoomTurns<T>(options: RoomTurnsOptions<T>): RoomTurns<T> {
  const { places, perOrigin, patienceMs, clock, isKnown, ask, isVain } = options
  const slots = createFairSlots({ slots: places, perCause: perOrigin, maxWaiting: MAX_WAITING, patienceMs })
  const underWay = new Map<RoomId, Promise<T>>()

  function start(roomId: RoomId): Promise<T> {
    const asking = ask(roomId).finally(() => underWay.delete(roomId))
    underWay.set(roomId, asking)
    return asking
  }

  function inTurn(wanted: Wanted): Promise<T | 'known' | 'too many'> {
    return new Promise((resolve, reject) => {
      const turn = async (signal: AbortSignal): Promise<void> => {
        if (isKnown(wanted)) return resolve('known')
        const shared = underWay.get(wanted.roomId)
        const told = await (shared ?? start(wanted.roomId))
        resolve(told)
        const keepsPlace = shared === undefined && isVain(told)
        if (keepsPlace) await pause(IN_VAIN_MS, undefined, { signal, ref: false }).catch(() => undefined)
      }
      const waitMs = Math.min(wanted.by - clock(), LONGEST_WAIT_MS)
      slots.run([wanted.origin], turn, waitMs).then(() => resolve('too many'), reject)
    })
  }

  return {
    ask: (wanted) => within(wanted.by - clock(), underWay.get(wanted.roomId) ?? inTurn(wanted)),
    isUnderWay: (roomId) => underWay.has(roomId),
  }
}
