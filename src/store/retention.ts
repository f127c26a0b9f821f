/** How long a store keeps what is over, unless the operator says otherwise. docs/storage.md */

const DAY_MS = 24 * 60 * 60 * 1000

/** Times in milliseconds, space in bytes. */
export interface Retention {
  /** Former state and former extremities. */
  readonly historyMs: number
  /** Records of decisions, and accepted events that nothing in the store rests on any more. */
  readonly decisionMs: number
  /** Keys of other servers, since they were fetched. */
  readonly keyMs: number
  /** Space for records of refusals: beyond it the oldest go first. Strangers choose how long their ids are. */
  readonly refusalBytes: number
}

/** Attempts of unknown outcome: a day after it began, what was not seen in its room is given up. In milliseconds. */
export const ATTEMPT_MS = DAY_MS

const DEFAULTS: Retention = {
  historyMs: 7 * DAY_MS,
  decisionMs: 90 * DAY_MS,
  keyMs: 365 * DAY_MS,
  refusalBytes: 128 * 1024 * 1024,
}

/** What the operator said, and the defaults for the rest. */
export function retentionOf({ historyMs, decisionMs, keyMs, refusalBytes }: Partial<Retention>): Retention {
  return {
    historyMs: historyMs ?? DEFAULTS.historyMs,
    decisionMs: decisionMs ?? DEFAULTS.decisionMs,
    keyMs: keyMs ?? DEFAULTS.keyMs,
    refusalBytes: refusalBytes ?? DEFAULTS.refusalBytes,
  }
}
