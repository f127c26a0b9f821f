/** Two measurements in turn, so that whatever else the machine does meets both. */
import type { LoadResult } from './load-protocol.ts'
import { type CountedRun, cpuEach } from './processor-time.ts'
import { median } from './statistics.ts'

export type Pairs<Result extends LoadResult = LoadResult> = readonly (readonly [Result, Result])[]

const PAIRS = 5

/**
 * Runs the two five times in turn, after one time that warms both up and is not counted.
 * @param prepare makes what both runs of a pair are given, before either starts
 */
export async function inPairs<Prepared, Result extends LoadResult>(
  prepare: (pair: number) => Prepared,
  first: (prepared: Prepared) => Promise<Result>,
  second: (prepared: Prepared) => Promise<Result>,
): Promise<Pairs<Result>> {
  const results: [Result, Result][] = []
  for (let pair = 0; pair <= PAIRS; pair++) {
    const prepared = prepare(pair)
    results.push([await first(prepared), await second(prepared)])
  }
  return results.slice(1)
}

/** The median of the throughput of the second by that of the first, pair by pair. */
export function throughputRatio(pairs: Pairs): number {
  return median(pairs.map(([first, second]) => perSecond(second) / perSecond(first)))
}

/** The median of the processor time for one request of the first by that of the second, pair by pair. */
export function processorRatio(pairs: Pairs<CountedRun>): number {
  return median(pairs.map(([first, second]) => cpuEach(first) / cpuEach(second)))
}

export function medianOf<Result extends LoadResult>(
  pairs: Pairs<Result>,
  side: 0 | 1,
  value: (result: Result) => number,
): number {
  return median(pairs.map((pair) => value(pair[side])))
}

export function perSecond({ answers, seconds }: LoadResult): number {
  return answers / seconds
}
