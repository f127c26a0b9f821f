/** What the dashboard shows, row by row. Each panel is described by the help of its metrics. */

export interface Panel {
  readonly title: string
  /** As Grafana names units. */
  readonly unit: string
  /** Legend and expression of each line. */
  readonly lines: Readonly<Record<string, string>>
  /** Where lines are too many to be told apart one by one, they are stacked. */
  readonly stacked?: true
}

/** Of this job and, where several processes serve, of those that are chosen. */
const HERE = 'job=~"$job",instance=~"$instance"'
/** At least four scrapes, so that one that is missed leaves no gap. */
const OVER = '[$__rate_interval]'

function rate(metric: string, labels = ''): string {
  return `rate(${metric}{${HERE}${labels && `,${labels}`}}${OVER})`
}

function gauge(metric: string): string {
  return `${metric}{${HERE}}`
}

function quantile(of: number): string {
  return `histogram_quantile(${of}, sum by (le, route) (${rate('matrix_knock_request_duration_seconds_bucket', 'route!="other"')}))`
}

export const ROWS: Readonly<Record<string, readonly Panel[]>> = {
  Requests: [
    {
      title: 'Answers by status',
      unit: 'reqps',
      lines: {
        '{{route}} {{status}} {{errcode}}': `sum by (route, status, errcode) (${rate('matrix_knock_requests_total')})`,
      },
      stacked: true,
    },
    {
      title: 'Time to the answer',
      unit: 's',
      lines: { '{{route}} p50': quantile(0.5), '{{route}} p99': quantile(0.99) },
    },
    {
      title: 'Answers that make remotes back off',
      unit: 'reqps',
      lines: { '{{status}}': `sum by (status) (${rate('matrix_knock_backoff_answers_total')})` },
    },
    {
      title: 'Requests that were not let in',
      unit: 'reqps',
      lines: { '{{reason}}': `sum by (reason) (${rate('matrix_knock_authentication_failures_total')})` },
      stacked: true,
    },
  ],
  'Other servers': [
    {
      title: 'Keys looked up',
      unit: 'ops',
      lines: { '{{outcome}}': `sum by (outcome) (${rate('matrix_knock_key_lookups_total')})` },
      stacked: true,
    },
    {
      title: 'Transactions sent',
      unit: 'ops',
      lines: { '{{outcome}}': `sum by (outcome) (${rate('matrix_knock_deliveries_total')})` },
      stacked: true,
    },
    {
      title: 'Knocks received and given up, per server',
      unit: 'ops',
      lines: {
        received: `sum(${rate('matrix_knock_delivered_events_total')})`,
        'given up': `sum(${rate('matrix_knock_dropped_events_total')})`,
        refused: `sum(${rate('matrix_knock_refused_events_total')})`,
      },
    },
    {
      title: 'Deliveries that wait',
      unit: 'short',
      lines: {
        deliveries: `max(${gauge('matrix_knock_delivery_waiting')})`,
        'servers that fail': `max(${gauge('matrix_knock_delivery_failing_servers')})`,
      },
    },
    {
      title: 'Age of the oldest delivery',
      unit: 's',
      lines: { oldest: `max(${gauge('matrix_knock_delivery_oldest_seconds')})` },
    },
  ],
  'The homeserver': [
    {
      title: 'Rooms read',
      unit: 'ops',
      lines: { '{{outcome}}': `sum by (outcome) (${rate('matrix_knock_room_reads_total')})` },
    },
    {
      title: 'Knocks handed over and not seen yet',
      unit: 'short',
      lines: { '{{instance}}': gauge('matrix_knock_handover_attempts') },
    },
  ],
  'Store and process': [
    {
      title: 'Rows in the store',
      unit: 'short',
      lines: { '{{kind}}': `max by (kind) (${gauge('matrix_knock_store_rows')})` },
    },
    {
      title: 'Bytes in the store',
      unit: 'bytes',
      lines: { '{{kind}}': `max by (kind) (${gauge('matrix_knock_store_bytes')})` },
    },
    { title: 'Resident memory', unit: 'bytes', lines: { '{{instance}}': gauge('process_resident_memory_bytes') } },
    { title: 'Processor', unit: 'percentunit', lines: { '{{instance}}': rate('process_cpu_seconds_total') } },
    {
      title: 'Event loop, p99 of its delay',
      unit: 's',
      lines: { '{{instance}}': gauge('nodejs_eventloop_lag_p99_seconds') },
    },
    { title: 'Open files', unit: 'short', lines: { '{{instance}}': gauge('process_open_fds') } },
  ],
}
