/**
 * The operator's limits on accepted knocks, per user, room and server. They answer 403, never 429: a remote server that
 * meets 429 backs off from the whole homeserver.
 */
import { LRUCache } from 'lru-cache'
import { type Refusal, refusal } from '../matrix/errors.ts'
import type { RoomId, ServerName, UserId } from '../matrix/identifiers.ts'
import type { Clock } from './ports.ts'

/** At most `knocks` within any `perSeconds`. */
export interface KnockLimit {
  readonly knocks: number
  readonly perSeconds: number
}

export interface KnockLimits {
  readonly perUser?: KnockLimit
  readonly perRoom?: KnockLimit
  readonly perServer?: KnockLimit
}

export interface Knocker {
  readonly origin: ServerName
  readonly userId: UserId
  readonly roomId: RoomId
}

export interface KnockPolicy {
  /** A refusal where one more knock would exceed a limit. Counts nothing. */
  check(knocker: Knocker): Refusal | undefined
  /** Counts a knock before it is recorded, so that those recorded at the same time do not exceed a limit together. */
  reserve(knocker: Knocker): Reservation | Refusal
}

/** A knock that is counted already. */
export interface Reservation {
  readonly ok: true
  /** Counts it no more: it was not recorded. */
  release(): void
}

/** Users, rooms and servers whose counts are kept at a time, each. */
const MAX_COUNTED = 10_000

/** Limits that are not given do not apply. */
export function createKnockPolicy(limits: KnockLimits, clock: Clock): KnockPolicy {
  const counters = [
    { name: 'user', keyOf: (knocker: Knocker) => knocker.userId, limit: limits.perUser },
    { name: 'room', keyOf: (knocker: Knocker) => knocker.roomId, limit: limits.perRoom },
    { name: 'server', keyOf: (knocker: Knocker) => knocker.origin, limit: limits.perServer },
  ].flatMap(({ name, keyOf, limit }) =>
    limit === undefined ? [] : [{ name, keyOf, limit, times: new LRUCache<string, number[]>({ max: MAX_COUNTED }) }],
  )

  const check = (knocker: Knocker): Refusal | undefined => {
    const now = clock()
    for (const { name, keyOf, limit, times } of counters) {
      const recent = within(times.get(keyOf(knocker)) ?? [], limit, now)
      if (recent.length >= limit.knocks) {
        return refusal('M_FORBIDDEN', `Too many knocks for this ${name}, try again later`, `limits.per_${name}`)
      }
    }
    return undefined
  }

  return {
    check,
    reserve(knocker) {
      const refused = check(knocker)
      if (refused !== undefined) return refused
      const now = clock()
      for (const { keyOf, limit, times } of counters) {
        const key = keyOf(knocker)
        times.set(key, [...within(times.get(key) ?? [], limit, now), now])
      }
      return {
        ok: true,
        release() {
          for (const { keyOf, times } of counters) forget(times, keyOf(knocker), now)
        },
      }
    },
  }
}

/** Takes one of the times at which something was counted back. */
function forget(times: LRUCache<string, number[]>, key: string, time: number): void {
  const counted = times.get(key) ?? []
  const at = counted.indexOf(time)
  if (at >= 0) times.set(key, counted.toSpliced(at, 1))
}

/** What lies ahead was counted by a clock that has been set back since: it would count until that time comes again. */
function within(times: readonly number[], limit: KnockLimit, now: number): readonly number[] {
  return times.filter((time) => time > now - limit.perSeconds * 1000 && time <= now)
}
