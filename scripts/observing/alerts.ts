/** When somebody should look, as rules of Prometheus. */
import { stringify } from 'yaml'

export interface Alert {
  readonly alert: string
  readonly expr: string
  /** How long it must hold. */
  readonly for: string
  readonly severity: 'critical' | 'warning' | 'info'
  /** What is, in one line. */
  readonly summary: string
  /** What to do about it. */
  readonly remedy: string
}

export const ALERTS: readonly Alert[] = [
  {
    alert: 'MatrixKnockAbsent',
    // Whatever the job is called: nobody scrapes it, or it does not answer.
    expr: 'absent(matrix_knock_delivery_waiting)',
    for: '5m',
    severity: 'critical',
    summary: 'No process of matrix-knock answers',
    remedy:
      'Look whether it runs, and whether Prometheus asks its admin listener under a name that it answers to (admin.hosts).',
  },
  {
    alert: 'MatrixKnockFails',
    expr: 'sum by (job, instance) (increase(matrix_knock_backoff_answers_total{status=~"5.."}[10m])) > 0',
    for: '0m',
    severity: 'critical',
    summary:
      '{{ $labels.instance }} answered with a 5xx, after which remote servers back off from the whole homeserver',
    remedy:
      'Find the requests by their status in the log. With 500 look for an error there; with 502 and 504 look at the homeserver: matrix-knock doctor.',
  },
  {
    alert: 'MatrixKnockLacksSomething',
    expr: 'sum by (job, instance) (increase(matrix_knock_authentication_failures_total{reason="own_lack"}[10m])) > 0',
    for: '0m',
    severity: 'critical',
    summary: '{{ $labels.instance }} could not check requests because it lacked file descriptors or slots itself',
    remedy: 'Raise LimitNOFILE (ulimit -n), and look in the log for what was missing.',
  },
  {
    alert: 'MatrixKnockKeysUnavailable',
    expr: `sum by (job, instance) (rate(matrix_knock_authentication_failures_total{reason="keys_unavailable"}[15m]))
  > 0.5 * sum by (job, instance) (rate(matrix_knock_requests_total{route=~"make_knock|send_knock"}[15m])) > 0.01`,
    for: '15m',
    severity: 'warning',
    summary: 'Most requests to {{ $labels.instance }} are refused because the keys of their servers cannot be had',
    remedy:
      'Look whether this host resolves names and reaches port 8448 and 443 of other servers: matrix-knock doctor. A flood under invented names looks the same.',
  },
  {
    alert: 'MatrixKnockReadsNoRooms',
    expr: `sum by (job, instance) (increase(matrix_knock_room_reads_total{outcome="failed"}[15m]))
  > 2 * sum by (job, instance) (increase(matrix_knock_room_reads_total{outcome="read"}[15m])) + 5`,
    for: '10m',
    severity: 'warning',
    summary: '{{ $labels.instance }} cannot read most rooms from the homeserver',
    remedy:
      'Run matrix-knock doctor, which says why. Invented rooms that one server asks for look the same; the log names it.',
  },
  {
    alert: 'MatrixKnockHandsOverInVain',
    expr: 'min by (job, instance) (min_over_time(matrix_knock_handover_attempts[30m])) > 0',
    for: '0m',
    severity: 'warning',
    summary:
      'Knocks that {{ $labels.instance }} gave to the homeserver half an hour ago have not been seen in their rooms',
    remedy: 'Look at the log of the homeserver for the events that the log of matrix-knock names.',
  },
  {
    alert: 'MatrixKnockDeliversNothing',
    expr: `sum by (job) (increase(matrix_knock_deliveries_total{outcome="failed"}[30m])) > 20
  and sum by (job) (increase(matrix_knock_deliveries_total{outcome="delivered"}[30m])) == 0`,
    for: '0m',
    severity: 'warning',
    summary: 'Every delivery to other servers has failed for half an hour',
    remedy: 'Look whether this host reaches other servers at all; matrix-knock deliveries list names the reasons.',
  },
  {
    alert: 'MatrixKnockGivesKnocksUp',
    expr: `sum by (job) (increase(matrix_knock_dropped_events_total[1h])) > 0
  or sum by (job) (increase(matrix_knock_refused_events_total[1h])) > 0`,
    for: '0m',
    severity: 'info',
    summary: 'Knocks were given up for servers that were away too long or refuse them',
    remedy: 'The log names them. Those servers learn of the knock from others, or when its membership changes.',
  },
  {
    alert: 'MatrixKnockSlow',
    expr: `histogram_quantile(0.99, sum by (job, instance, route, le)
  (rate(matrix_knock_request_duration_seconds_bucket{route=~"make_knock|send_knock"}[10m]))) > 5`,
    for: '10m',
    severity: 'warning',
    summary: 'One in a hundred {{ $labels.route }} takes longer than 5 s at {{ $labels.instance }}',
    remedy:
      'Look at the panels of keys looked up and rooms read: other servers or the homeserver are slow. Otherwise look at the disk of the store.',
  },
  {
    alert: 'MatrixKnockStandsStill',
    expr: 'max by (job, instance) (nodejs_eventloop_lag_p99_seconds) > 0.5',
    for: '10m',
    severity: 'warning',
    summary: 'The event loop of {{ $labels.instance }} is held up for half a second and longer',
    remedy: 'The machine has too little processor or swaps; if not, report it with the log.',
  },
]

/** The file that `rule_files` of Prometheus names. */
export function alertRules(): string {
  const rules = ALERTS.map(({ severity, summary, remedy, for: held, ...rule }) => ({
    ...rule,
    ...(held !== '0m' && { for: held }),
    labels: { severity },
    annotations: { summary, description: remedy },
  }))
  const head = '# Rules for Prometheus: name this file in rule_files. Generated; docs/operating.md, "Watching it".\n'
  return head + stringify({ groups: [{ name: 'matrix-knock', rules }] }, { lineWidth: 0 })
}
