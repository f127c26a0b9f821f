/** The metrics that the service exposes, as it says them itself. */
import { createMetrics } from '../../src/observability/metrics.ts'

export interface ExposedMetric {
  readonly name: string
  readonly help: string
  readonly type: string
}

const NOTHING_HELD = { rows: 0, bytes: 0 }

/** All of them, in the order of `/metrics`. */
export async function exposedMetrics(): Promise<readonly ExposedMetric[]> {
  const metrics = createMetrics({
    queue: { depth: async () => ({ waiting: 0, failing: 0, oldestAge: 0 }) },
    holdings: async () => ({
      rooms: NOTHING_HELD,
      events: NOTHING_HELD,
      decisions: NOTHING_HELD,
      attempts: NOTHING_HELD,
      outbox: NOTHING_HELD,
      keys: NOTHING_HELD,
    }),
    clock: Date.now,
  })
  const lines = (await metrics.expose()).split('\n')
  return lines.flatMap((line, at) => {
    const [, name, help] = /^# HELP (\S+) (.*)$/.exec(line) ?? []
    const [, type] = /^# TYPE \S+ (\S+)$/.exec(lines[at + 1] ?? '') ?? []
    return name === undefined || help === undefined || type === undefined ? [] : [{ name, help, type }]
  })
}

/** Names of metrics in an expression of Prometheus, without what a histogram appends to them. */
export function metricsIn(expression: string): readonly string[] {
  const names = expression.match(/\b(?:matrix_knock|nodejs|process)_\w+/g) ?? []
  return names.map((name) => name.replace(/_(?:bucket|sum|count)$/, ''))
}
