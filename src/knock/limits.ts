/**
 * The operator's limits on accepted knocks, per user, room and server. They answer 403, never 429: a remote server that
 * meets 429 backs off from the whole homeserver. docs/decisions/0016-limits-that-are-on.md
 */
import { LRUCache } from 'lru-cache'
import type { EventId, RoomId, ServerName, UserId } from '../matrix/identifiers.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import { canonicalHost } from '../matrix/server-spellings.ts'
import type { Clock } from './ports/rooms.ts'

/** At most `knocks` within any `perSeconds`. */
export interface KnockLimit {
  readonly knocks: number
  readonly perSeconds: number
}

export interface ConfiguredLimits {
  readonly perUser?: KnockLimit
  readonly perRoom?: KnockLimit
  /** Per host: its ports and other spellings of its name count with it. */
  readonly perServer?: KnockLimit
}

export interface Knocker {
  readonly origin: ServerName
  readonly userId: UserId
  readonly roomId: RoomId
}

export interface KnockLimits {
  /** A refusal where one more knock would exceed a limit. Counts nothing. */
  check(knocker: Knocker): Refusal | undefined
  /**
   * Counts a knock before it is recorded, so that those recorded at the same time do not exceed a limit together. One
   * that is counted already is let through and not counted again.
   */
  reserve(knocker: Knocker, eventId: EventId): Reservation | Refusal
}

/** A knock that is counted already. */
export interface Reservation {
  readonly ok: true
  /** Counts it no more, unless it is reserved a second time: it was not recorded. */
  release(): void
}

/** Users, rooms and servers whose counts are kept at a time, each. */
const MAX_COUNTED = 10_000
/** Knocks that are known to be counted. */
const MAX_KNOCKS = 10_000
/** Knocks that are closer together than this part of the span are kept as one time, so that memory is bounded. */
const PARTS_OF_SPAN = 64

/** Limits that are not given do not apply. */
export function createKnockLimits(limits: ConfiguredLimits, clock: Clock): KnockLimits {
  const counters = [
    { name: 'user', keyOf: (knocker: Knocker) => knocker.userId, limit: limits.perUser },
    { name: 'room', keyOf: (knocker: Knocker) => knocker.roomId, limit: limits.perRoom },
    { name: 'server', keyOf: (knocker: Knocker) => canonicalHost(knocker.origin), limit: limits.perServer },
  ].flatMap(({ name, keyOf, limit }) => (limit === undefined ? [] : [{ name, keyOf, ...createCounter(limit) }]))
  const reserved = new LRUCache<EventId, Reserved>({ max: MAX_KNOCKS })

  const check = (knocker: Knocker): Refusal | undefined => {
    const now = clock()
    const full = counters.find(({ keyOf, isFull }) => isFull(keyOf(knocker), now))
    if (full === undefined) return undefined
    return refusal('M_FORBIDDEN', `Too many knocks for this ${full.name}, try again later`, `limits.per_${full.name}`)
  }
  const release = (eventId: EventId, knock: Reserved): void => {
    knock.times--
    if (knock.times > 0) return
    for (const counted of knock.counted) counted.knocks--
    if (reserved.peek(eventId) === knock) reserved.delete(eventId)
  }

  return {
    check,
    reserve(knocker, eventId) {
      let knock = reserved.get(eventId)
      if (knock === undefined) {
        const refused = check(knocker)
        if (refused !== undefined) return refused
        const now = clock()
        knock = { times: 0, counted: counters.map(({ keyOf, count }) => count(keyOf(knocker), now)) }
        reserved.set(eventId, knock)
      }
      const counted = knock
      counted.times++
      return { ok: true, release: () => release(eventId, counted) }
    },
  }
}

interface Reserved {
  /** How often it is reserved at a time, or was without being released. */
  times: number
  readonly counted: readonly Counted[]
}

/** Knocks that count until the same time. */
interface Counted {
  readonly since: number
  at: number
  knocks: number
}

function createCounter({ knocks: most, perSeconds }: KnockLimit) {
  const span = perSeconds * 1000
  const byKey = new LRUCache<string, readonly Counted[]>({ max: MAX_COUNTED })

  /** What lies ahead was counted by a clock that has been set back since: it would count until that time comes again. */
  const recent = (key: string, now: number): readonly Counted[] =>
    (byKey.get(key) ?? []).filter(({ at }) => at > now - span && at <= now)

  return {
    isFull: (key: string, now: number): boolean =>
      recent(key, now).reduce((sum, { knocks }) => sum + knocks, 0) >= most,
    count(key: string, now: number): Counted {
      const counted = recent(key, now)
      const last = counted.at(-1)
      if (last !== undefined && now - last.since < span / PARTS_OF_SPAN) {
        last.at = now
        last.knocks++
        return last
      }
      const one = { since: now, at: now, knocks: 1 }
      byKey.set(key, [...counted, one])
      return one
    },
  }
}
