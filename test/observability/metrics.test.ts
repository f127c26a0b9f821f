import { describe, expect, it } from 'vitest'
import type { AnsweredRequest } from '../../src/http/answered-request.ts'
import { createMetrics, type Metrics } from '../../src/observability/metrics.ts'

const answered = (changes: Partial<AnsweredRequest>): AnsweredRequest => ({
  method: 'GET',
  route: 'make_knock',
  status: 200,
  errcode: undefined,
  rule: undefined,
  origin: undefined,
  room: undefined,
  failure: undefined,
  detail: undefined,
  milliseconds: 3,
  ...changes,
})

const depth = async () => ({ waiting: 4, failing: 1, oldestAge: 5_500 })

async function lines(metrics: Metrics): Promise<readonly string[]> {
  return (await metrics.expose()).split('\n')
}

describe('metrics', () => {
  it('count answers by route, status and error code, and time them', async () => {
    const metrics = createMetrics({ queue: { depth }, clock: () => 0 })
    metrics.answered(answered({}))
    metrics.answered(answered({ milliseconds: 400 }))
    metrics.answered(answered({ status: 403, errcode: 'M_FORBIDDEN' }))
    const found = await lines(metrics)
    expect(found).toContain('matrix_knock_requests_total{route="make_knock",status="200",errcode=""} 2')
    expect(found).toContain('matrix_knock_requests_total{route="make_knock",status="403",errcode="M_FORBIDDEN"} 1')
    expect(found).toContain('matrix_knock_request_duration_seconds_bucket{le="0.005",route="make_knock"} 2')
    expect(found).toContain('matrix_knock_request_duration_seconds_count{route="make_knock"} 3')
  })

  it('count apart what can make remotes back off, and keys that could not be had', async () => {
    const metrics = createMetrics({ queue: { depth }, clock: () => 0 })
    expect(await lines(metrics)).toContain('matrix_knock_backoff_answers_total{status="401"} 0')
    expect(await lines(metrics)).toContain('matrix_knock_authentication_failures_total{reason="own_lack"} 0')
    expect(await lines(metrics)).toContain('matrix_knock_key_lookups_total{outcome="missing"} 0')
    metrics.answered(answered({ status: 401, failure: 'keys_unavailable' }))
    metrics.answered(answered({ status: 401, failure: 'wrong_signature' }))
    metrics.answered(answered({ status: 429 }))
    metrics.answered(answered({ status: 500 }))
    metrics.answered(answered({ status: 403, failure: 'denied_server' }))
    const found = await lines(metrics)
    for (const [status, count] of [
      ['401', 2],
      ['429', 1],
      ['500', 1],
    ]) {
      expect(found).toContain(`matrix_knock_backoff_answers_total{status="${status}"} ${count}`)
    }
    expect(found).not.toContain('matrix_knock_backoff_answers_total{status="403"} 1')
    expect(found).toContain('matrix_knock_authentication_failures_total{reason="keys_unavailable"} 1')
    expect(found).toContain('matrix_knock_authentication_failures_total{reason="wrong_signature"} 1')
  })

  it('say what the store holds, and leave out what it cannot tell', async () => {
    const held = { rows: 1, bytes: 2 }
    const kinds = { events: held, decisions: held, attempts: held, outbox: held, keys: { rows: 7, bytes: undefined } }
    const holdings = async () => ({ rooms: { rows: 3, bytes: 40 }, ...kinds })
    const found = await lines(createMetrics({ queue: { depth }, holdings, clock: () => 0 }))
    expect(found).toContain('matrix_knock_store_rows{kind="rooms"} 3')
    expect(found).toContain('matrix_knock_store_bytes{kind="rooms"} 40')
    expect(found).toContain('matrix_knock_store_rows{kind="keys"} 7')
    expect(found.filter((line) => line.startsWith('matrix_knock_store_bytes{kind="keys"'))).toEqual([])
  })

  it('show the delivery queue as it is when they are read, and the attempts as they were seen last', async () => {
    const metrics = createMetrics({ queue: { depth }, clock: () => 0 })
    metrics.delivered(3)
    metrics.deliveryFailed()
    metrics.gaveUp(7)
    metrics.refused()
    metrics.deliveryRefused()
    metrics.keyLookup('failed')
    metrics.attempts(6)
    const found = await lines(metrics)
    expect(found).toContain('matrix_knock_delivery_waiting 4')
    expect(found).toContain('matrix_knock_delivery_failing_servers 1')
    expect(found).toContain('matrix_knock_delivery_oldest_seconds 5.5')
    expect(found).toContain('matrix_knock_delivered_events_total 3')
    expect(found).toContain('matrix_knock_handover_attempts 6')
    expect(found).toContain('matrix_knock_deliveries_total{outcome="delivered"} 1')
    expect(found).toContain('matrix_knock_deliveries_total{outcome="failed"} 1')
    expect(found).toContain('matrix_knock_dropped_events_total 7')
    expect(found).toContain('matrix_knock_refused_events_total 1')
    expect(found).toContain('matrix_knock_deliveries_total{outcome="refused"} 1')
    expect(found).toContain('matrix_knock_key_lookups_total{outcome="failed"} 1')
    expect(found.some((line) => line.startsWith('nodejs_eventloop_lag_seconds '))).toBe(true)
  })

  it('outlive a store that fails', async () => {
    const queue = { depth: () => Promise.reject(new Error('disk gone')) }
    expect(await createMetrics({ queue, clock: () => 0 }).expose()).toContain('matrix_knock_requests_total')
  })
})
