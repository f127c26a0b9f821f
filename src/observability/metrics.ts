/**
 * What is counted, for Prometheus. Answers that can make remote servers back off from the whole homeserver (401, 429,
 * 5xx) have counters of their own. docs/decisions/0003-statuses-that-do-no-harm.md
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { AnsweredRequest } from '../http/answered-request.ts'
import type { DeliveryQueue, QueueDepth } from '../knock/ports/deliveries.ts'
import type { Clock, Holdings } from '../knock/ports/rooms.ts'

export interface Metrics {
  answered(request: AnsweredRequest): void
  keyLookup(outcome: string): void
  delivered(events: number): void
  deliveryFailed(): void
  /** A server refused a transaction for good. */
  deliveryRefused(): void
  roomRead(outcome: 'read' | 'failed'): void
  gaveUp(events: number): void
  /** A knock was dropped for a server that refuses it. */
  refused(): void
  /** How many attempts of unknown outcome there are. */
  attempts(count: number): void
  /** The text of `/metrics`. */
  expose(): Promise<string>
  readonly contentType: string
}

export interface MetricsOptions {
  readonly queue: Pick<DeliveryQueue, 'depth'>
  /** Left out where there is no store to tell of. */
  readonly holdings?: () => Promise<Holdings>
  readonly clock: Clock
}

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25]
/** Combinations of route, status and error code for which counters are kept at hand. */
const MAX_AT_HAND = 200

export function createMetrics({ queue, holdings, clock }: MetricsOptions): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const requests = new Counter({
    name: 'matrix_knock_requests_total',
    help: 'Answered requests',
    labelNames: ['route', 'status', 'errcode'],
    registers,
  })
  const seconds = new Histogram({
    name: 'matrix_knock_request_duration_seconds',
    help: 'Time from request to answer',
    labelNames: ['route'],
    buckets: SECONDS,
    registers,
  })
  const harmful = new Counter({
    name: 'matrix_knock_backoff_answers_total',
    help: 'Answers after which a remote may back off from the whole homeserver: 401, 429 and 5xx',
    labelNames: ['status'],
    registers,
  })
  for (const status of ['401', '429', '500', '504']) harmful.inc({ status }, 0)
  const failures = new Counter({
    name: 'matrix_knock_authentication_failures_total',
    help: 'Requests that were not let in, by reason; keys_unavailable is no fault of the signature, own_lack none of the remote',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of ['keys_unavailable', 'own_lack']) failures.inc({ reason }, 0)
  const lookups = new Counter({
    name: 'matrix_knock_key_lookups_total',
    help: 'Look-ups of keys that memory did not have: from the store, the server or a notary, failed, crowded out, or not made because descriptors or slots were missing',
    labelNames: ['outcome'],
    registers,
  })
  for (const outcome of ['failed', 'crowded', 'missing']) lookups.inc({ outcome }, 0)
  const deliveries = deliveryMetrics(registry)
  const showHoldings = holdingsMetrics(registry)
  const roomReads = new Counter({
    name: 'matrix_knock_room_reads_total',
    help: 'Rooms that were read from the homeserver, or could not be',
    labelNames: ['outcome'],
    registers,
  })
  for (const outcome of ['read', 'failed']) roomReads.inc({ outcome }, 0)
  const attempts = new Gauge({
    name: 'matrix_knock_handover_attempts',
    help: 'Knocks that were given to the homeserver and have not been seen in their room',
    registers,
  })
  const atHand = new Map<string, Counter.Internal>()
  const durations = new Map<string, Histogram.Internal<'route'>>()

  return {
    answered({ route, status, errcode = '', failure, milliseconds }) {
      const key = `${route} ${status} ${errcode}`
      let counter = atHand.get(key)
      if (counter === undefined) {
        counter = requests.labels(route, String(status), errcode)
        if (atHand.size < MAX_AT_HAND) atHand.set(key, counter)
      }
      counter.inc()
      let duration = durations.get(route)
      if (duration === undefined) {
        duration = seconds.labels(route)
        durations.set(route, duration)
      }
      duration.observe(milliseconds / 1000)
      if (status === 401 || status === 429 || status >= 500) harmful.inc({ status: String(status) })
      if (failure !== undefined) failures.inc({ reason: failure })
    },
    keyLookup: (outcome) => lookups.inc({ outcome }),
    delivered(count) {
      deliveries.outcomes.inc({ outcome: 'delivered' })
      deliveries.events.inc(count)
    },
    attempts: (count) => attempts.set(count),
    roomRead: (outcome) => roomReads.inc({ outcome }),
    deliveryFailed: () => deliveries.outcomes.inc({ outcome: 'failed' }),
    deliveryRefused: () => deliveries.outcomes.inc({ outcome: 'refused' }),
    gaveUp: (count) => deliveries.dropped.inc(count),
    refused: () => deliveries.refused.inc(),
    async expose() {
      // A store that fails shows in /ready; it must not take the other figures with it.
      const depth = await queue.depth(clock()).catch(() => undefined)
      if (depth !== undefined) deliveries.show(depth)
      const held = await holdings?.().catch(() => undefined)
      if (held !== undefined) showHoldings(held)
      return registry.metrics()
    },
    contentType: registry.contentType,
  }
}

function holdingsMetrics(registry: Registry): (holdings: Holdings) => void {
  const labelled = { labelNames: ['kind'], registers: [registry] }
  const rows = new Gauge({ name: 'matrix_knock_store_rows', help: 'What the store holds, by kind', ...labelled })
  const bytes = new Gauge({
    name: 'matrix_knock_store_bytes',
    help: 'How large it is, by kind: texts in SQLite, tables with their indexes in PostgreSQL',
    ...labelled,
  })
  return (holdings) => {
    for (const [kind, held] of Object.entries(holdings)) {
      rows.set({ kind }, held.rows)
      if (held.bytes !== undefined) bytes.set({ kind }, held.bytes)
    }
  }
}

function deliveryMetrics(registry: Registry) {
  const registers = [registry]
  const events = new Counter({
    name: 'matrix_knock_delivered_events_total',
    help: 'Knocks that another server has received, counted once per server',
    registers,
  })
  const outcomes = new Counter({
    name: 'matrix_knock_deliveries_total',
    help: 'Transactions that another server received or refused, and attempts that failed and are made again',
    labelNames: ['outcome'],
    registers,
  })
  for (const outcome of ['delivered', 'failed', 'refused']) outcomes.inc({ outcome }, 0)
  const dropped = new Counter({
    name: 'matrix_knock_dropped_events_total',
    help: 'Knocks that a server will not receive because it was away for deliveries.give_up_days, counted once per server',
    registers,
  })
  const refused = new Counter({
    name: 'matrix_knock_refused_events_total',
    help: 'Knocks that a server will not receive because it refuses them, counted once per server',
    registers,
  })
  const waiting = new Gauge({
    name: 'matrix_knock_delivery_waiting',
    help: 'Deliveries that wait, one per knock and server',
    registers,
  })
  const failing = new Gauge({
    name: 'matrix_knock_delivery_failing_servers',
    help: 'Servers to which the last delivery failed',
    registers,
  })
  const oldest = new Gauge({
    name: 'matrix_knock_delivery_oldest_seconds',
    help: 'Age of the oldest knock that waits for delivery',
    registers,
  })
  const show = (depth: QueueDepth): void => {
    waiting.set(depth.waiting)
    failing.set(depth.failing)
    oldest.set(depth.oldestAge / 1000)
  }
  return { events, outcomes, dropped, refused, show }
}
