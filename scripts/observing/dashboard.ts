/** The dashboard as Grafana imports it. */
import type { ExposedMetric } from './exposed-metrics.ts'
import { metricsIn } from './exposed-metrics.ts'
import { type Panel, ROWS } from './panels.ts'

const WIDTH = 24
const PANEL = { w: 8, h: 8 }
const SOURCE = { type: 'prometheus', uid: '$source' }

/** @param metrics what there is, for the descriptions */
export function dashboard(metrics: readonly ExposedMetric[]): string {
  const panels: object[] = []
  let y = 0
  for (const [title, row] of Object.entries(ROWS)) {
    panels.push({ type: 'row', title, collapsed: false, panels: [], gridPos: { x: 0, y, w: WIDTH, h: 1 } })
    y += 1
    const perLine = WIDTH / PANEL.w
    for (const [at, panel] of row.entries()) {
      const place = { x: (at % perLine) * PANEL.w, y: y + Math.floor(at / perLine) * PANEL.h, ...PANEL }
      panels.push(drawn(panel, metrics, place))
    }
    y += Math.ceil(row.length / perLine) * PANEL.h
  }
  const whole = {
    title: 'matrix-knock',
    uid: 'matrix-knock',
    schemaVersion: 38,
    editable: true,
    refresh: '1m',
    time: { from: 'now-6h', to: 'now' },
    templating: { list: [source(), choice('job', 'label_values(matrix_knock_delivery_waiting, job)'), instances()] },
    panels: panels.map((panel, id) => ({ id: id + 1, ...panel })),
  }
  return `${JSON.stringify(whole, undefined, 2)}\n`
}

function drawn({ title, unit, lines, stacked }: Panel, metrics: readonly ExposedMetric[], gridPos: object): object {
  const stacking = { mode: stacked ? 'normal' : 'none', group: 'A' }
  return {
    type: 'timeseries',
    title,
    description: descriptionOf(Object.values(lines), metrics),
    datasource: SOURCE,
    gridPos,
    fieldConfig: { defaults: { unit, min: 0, custom: { fillOpacity: stacked ? 30 : 0, stacking } }, overrides: [] },
    options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: Object.entries(lines).map(([legendFormat, expr], at) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + at),
      datasource: SOURCE,
      expr,
      legendFormat,
    })),
  }
}

function descriptionOf(expressions: readonly string[], metrics: readonly ExposedMetric[]): string {
  const names = new Set(expressions.flatMap(metricsIn))
  return metrics.flatMap(({ name, help }) => (names.has(name) ? [`${name}: ${help}`] : [])).join('\n')
}

function source(): object {
  return { name: 'source', label: 'Prometheus', type: 'datasource', query: 'prometheus', current: {} }
}

function choice(name: string, query: string): object {
  const all = { includeAll: true, multi: true, allValue: '.*', current: { text: 'All', value: '$__all' } }
  return { name, type: 'query', datasource: SOURCE, query: { query, refId: name }, refresh: 2, sort: 1, ...all }
}

function instances(): object {
  return choice('instance', 'label_values(matrix_knock_delivery_waiting{job=~"$job"}, instance)')
}
