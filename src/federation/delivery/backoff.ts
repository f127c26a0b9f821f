/** How long a destination is left alone after a failure. */
import type { DeliveryFailure } from '../../knock/ports/deliveries.ts'
import type { DeliveryResult } from './transaction.ts'

export interface BackoffOptions {
  /** Wait after a first failure; it doubles with each. Milliseconds. */
  readonly firstMs: number
  /** Longest wait, whatever the destination asks for. Milliseconds. */
  readonly mostMs: number
  /** Uniform in [0, 1): spreads retries. */
  readonly random: () => number
}

type Failed = Pick<Extract<DeliveryResult, { kind: 'failed' }>, 'reason' | 'retryAfterMs'>

/** What to record of a failure. @param attempts failures before this one */
export type Backoff = (result: Failed, attempts: number, now: number) => DeliveryFailure

export function createBackoff({ firstMs, mostMs, random }: BackoffOptions): Backoff {
  /** Half of the wait is certain, half is chance, so that destinations that failed together do not return together. */
  function waitAfter(attempts: number): number {
    const full = Math.min(firstMs * 2 ** Math.min(attempts, 30), mostMs)
    return full / 2 + (random() * full) / 2
  }

  return ({ reason, retryAfterMs }, attempts, now) => {
    // Whole milliseconds: queues keep instants as integers.
    const retryAt = now + Math.ceil(waitAfter(attempts))
    if (retryAfterMs === undefined) return { retryAt, reason }
    const notBefore = now + Math.ceil(Math.min(retryAfterMs, mostMs))
    return { retryAt: Math.max(retryAt, notBefore), notBefore, reason }
  }
}
