/** What the benchmark and its load generator, a process of its own, say to one another. */

export interface RunOrder {
  readonly kind: 'run'
  readonly port: number
  /** Kept open; each sends its share of the requests, one after the other. */
  readonly connections: number
  /** As they go on the wire, ASCII. */
  readonly requests: readonly string[]
}

/** One connection that sends its requests with a pause between, until `stop`. */
export interface WatchOrder {
  readonly kind: 'watch'
  readonly port: number
  readonly requests: readonly string[]
  readonly pauseMs: number
}

export type Order = RunOrder | WatchOrder | { readonly kind: 'stop' }

/** Every answer was 200. Latencies in milliseconds. */
export interface LoadResult {
  readonly answers: number
  readonly seconds: number
  readonly p50: number
  readonly p99: number
  readonly longest: number
}

export type Outcome =
  | { readonly kind: 'done'; readonly result: LoadResult }
  | { readonly kind: 'failed'; readonly reason: string }
