/** Extremities in two orders, by age and by depth, so that a template finds the ends of both at once. */
import type { Extremity } from '../../../src/knock/ports/rooms.ts'
import type { EventId } from '../../../src/matrix/identifiers.ts'
import { MOST_EXTREMITIES } from '../../../src/store/extremity-selection.ts'

export interface ExtremitySet {
  readonly size: number
  add(extremity: Extremity): void
  /** False where it was not in the set. */
  remove(eventId: EventId): boolean
  has(eventId: EventId): boolean
  ids(): readonly EventId[]
  /** The deepest first: one more than a template names. */
  deepest(): readonly Extremity[]
  /** The oldest first: as many as a template names. */
  oldest(): readonly Extremity[]
}

export function createExtremitySet(): ExtremitySet {
  const byAge = new Map<EventId, Extremity>()
  const byDepth: Extremity[] = []

  /** Where an extremity stands in the order of depth, or would. */
  const position = (wanted: Extremity): number => {
    let low = 0
    let high = byDepth.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compare(byDepth[middle] as Extremity, wanted) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    get size() {
      return byAge.size
    },
    add({ eventId, depth }) {
      const extremity = { eventId, depth }
      byAge.set(eventId, extremity)
      byDepth.splice(position(extremity), 0, extremity)
    },
    remove(eventId) {
      const extremity = byAge.get(eventId)
      if (extremity === undefined) return false
      byDepth.splice(position(extremity), 1)
      return byAge.delete(eventId)
    },
    has: (eventId) => byAge.has(eventId),
    ids: () => [...byAge.keys()],
    deepest: () => byDepth.slice(-MOST_EXTREMITIES - 1).reverse(),
    oldest() {
      const first: Extremity[] = []
      for (const extremity of byAge.values()) {
        if (first.push(extremity) === MOST_EXTREMITIES) break
      }
      return first
    },
  }
}

function compare(left: Extremity, right: Extremity): number {
  return left.depth - right.depth || (left.eventId < right.eventId ? -1 : left.eventId > right.eventId ? 1 : 0)
}
