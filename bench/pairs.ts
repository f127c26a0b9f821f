/** Two measurements in turn, so that whatever else the machine does meets both. */
import type { LoadResult } from './load-protocol.ts'
import { median } from './statistics.ts'

export type Pairs = readonly (readonly [LoadResult, LoadResult])[]

const PAIRS = 5

/**
 * Runs the two five times in turn, after one time that warms both up and is not counted.
 * @param prepare makes what both runs of a pair are given, before either starts
 */
export async function inPairs<Prepared>(
  prepare: (pair: number) => Prepared,
  first: (prepared: Prepared, pair: number) => Promise<LoadResult>,
  second: (prepared: Prepared, pair: number) => Promise<LoadResult>,
): Promise<Pairs> {
  const results: [LoadResult, LoadResult][] = []
  for (let pair = 0; pair <= PAIRS; pair++) {
    const prepared = prepare(pair)
    results.push([await first(prepared, pair), await second(prepared, pair)])
  }
  return results.slice(1)
}

/** The median of the throughput of the second by that of the first, pair by pair. */
export function throughputRatio(pairs: Pairs): number {
  return median(pairs.map(([first, second]) => perSecond(second) / perSecond(first)))
}

export function medianOf(pairs: Pairs, side: 0 | 1, value: (result: LoadResult) => number): number {
  return median(pairs.map((pair) => value(pair[side])))
}

export function perSecond({ answers, seconds }: LoadResult): number {
  return answers / seconds
}
