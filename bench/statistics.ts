/** The few numbers that stand for many. */
import type { LoadResult } from './load-protocol.ts'

/** The middle one, or the mean of the two in the middle. @param values at least one */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const half = sorted.length / 2
  const upper = sorted[Math.floor(half)] ?? Number.NaN
  return Number.isInteger(half) ? ((sorted[half - 1] ?? Number.NaN) + upper) / 2 : upper
}

/** @param sorted ascending, at least one @param share from 0 to 1 */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** What a load found out. @param latencies of each answer, in milliseconds; sorted in place */
export function latencySummary(latencies: Float64Array, seconds: number): LoadResult {
  latencies.sort()
  return {
    answers: latencies.length,
    seconds,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    longest: latencies.at(-1) ?? Number.NaN,
  }
}
