import { describe, expect, it } from 'vitest'
import { createTokenBuckets } from '../../src/concurrency/token-buckets.ts'

/** Slow enough that no token comes back while a test runs. */
const SLOW = 1 / 3600
const HOUR_MS = 3_600_000

describe('token buckets', () => {
  it('give each cause its burst and no more, and others theirs', () => {
    const buckets = createTokenBuckets({ inAll: { perSecond: 1, burst: 100 }, perCause: { perSecond: SLOW, burst: 2 } })
    const take = (cause: string) => buckets.take(cause, 1000)
    expect([take('a'), take('a'), take('a')]).toEqual([0, 0, undefined])
    expect([take('b'), take('b'), take('b')]).toEqual([0, 0, undefined])
  })

  it('give all together no more than is for all', () => {
    const buckets = createTokenBuckets({ inAll: { perSecond: SLOW, burst: 3 }, perCause: { perSecond: 1, burst: 2 } })
    expect(['a', 'b', 'c', 'd'].map((cause) => buckets.take(cause, 1000))).toEqual([0, 0, 0, undefined])
  })

  it('say how long the next takes to come, and keep it for who waits', () => {
    const buckets = createTokenBuckets({ inAll: { perSecond: SLOW, burst: 1 }, perCause: { perSecond: 1, burst: 9 } })
    expect(buckets.take('a', 0)).toBe(0)
    const [second, third] = [buckets.take('b', 5 * HOUR_MS), buckets.take('c', 5 * HOUR_MS)]
    expect(Math.round((second ?? 0) / HOUR_MS)).toBe(1)
    expect(Math.round((third ?? 0) / HOUR_MS)).toBe(2)
    expect(buckets.take('d', HOUR_MS)).toBeUndefined()
  })
})
