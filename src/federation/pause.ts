/** Pauses under a clock that may be set: one that was reckoned by a clock far ahead must not stand until then. */

/**
 * Whether a pause still stands. One that has longer to go than any such pause can last was reckoned by another clock,
 * and is over.
 * @param until its end, in milliseconds since the epoch
 * @param longestMs the longest that such a pause can be
 */
export function stands(until: number, now: number, longestMs: number): boolean {
  return now < until && until - now <= longestMs
}
