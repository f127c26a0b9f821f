/** Two measurements in turn, so that whatever else the machine does meets both. */
import { setTimeout as pause } from 'node:timers/promises'
import type { LoadResult } from './load-protocol.ts'
import { type CountedRun, cpuEach } from './processor-time.ts'
import { median } from './statistics.ts'

export type Pairs<Result extends LoadResult = LoadResult> = readonly (readonly [Result, Result])[]

/** An odd number: one of them is the median. */
export const PAIRS = 9
/** What was prepared leaves garbage behind, which is cleared away in threads of its own. */
const SETTLE_MS = 500

/**
 * Runs the two in turn, after one time that warms both up and is not counted. Each goes first every other time.
 * @param prepare makes what both runs of a pair are given, before either starts
 */
export async function inPairs<Prepared, Result extends LoadResult>(
  prepare: (pair: number) => Prepared,
  first: Run<Prepared, Result>,
  second: Run<Prepared, Result>,
): Promise<Pairs<Result>> {
  const results: (readonly [Result, Result])[] = []
  for (let pair = 0; pair <= PAIRS; pair++) {
    const prepared = prepare(pair)
    await pause(SETTLE_MS)
    results.push(pair % 2 === 0 ? await inOrder(prepared, first, second) : await inReverse(prepared, first, second))
  }
  return results.slice(1)
}

type Run<Prepared, Result> = (prepared: Prepared) => Promise<Result>

async function inOrder<Prepared, Result>(
  prepared: Prepared,
  first: Run<Prepared, Result>,
  second: Run<Prepared, Result>,
): Promise<readonly [Result, Result]> {
  return [await first(prepared), await second(prepared)]
}

async function inReverse<Prepared, Result>(
  prepared: Prepared,
  first: Run<Prepared, Result>,
  second: Run<Prepared, Result>,
): Promise<readonly [Result, Result]> {
  const later = await second(prepared)
  return [await first(prepared), later]
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
