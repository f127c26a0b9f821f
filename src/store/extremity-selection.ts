/** Which extremities a template names: all up to ten, else the five deepest and the five oldest, so that all are merged in time. */
import type { Extremity } from '../knock/ports/rooms.ts'

export const MOST_EXTREMITIES = 10
const OF_EACH_KIND = 5

/**
 * @param deepest the deepest first, one more than the most where there are that many
 * @param readOldest the oldest first, at least ten of them
 */
export function selectExtremities(
  deepest: readonly Extremity[],
  readOldest: () => readonly Extremity[],
): readonly Extremity[] {
  if (deepest.length <= MOST_EXTREMITIES) return deepest
  const chosen = deepest.slice(0, OF_EACH_KIND)
  const ids = new Set(chosen.map(({ eventId }) => eventId))
  const oldest = readOldest().filter(({ eventId }) => !ids.has(eventId))
  return [...chosen, ...oldest.slice(0, OF_EACH_KIND)]
}
