/** Writes the dashboard and the alerts from the metrics that there are. A metric that none shows, and one that is not there, fail. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bringUpToDate, complain, root } from './generated-file.ts'
import { ALERTS, alertRules } from './observing/alerts.ts'
import { dashboard } from './observing/dashboard.ts'
import { exposedMetrics, metricsIn } from './observing/exposed-metrics.ts'
import { ROWS } from './observing/panels.ts'

const metrics = await exposedMetrics()
const shown = Object.values(ROWS).flatMap((row) => row.flatMap(({ lines }) => Object.values(lines).flatMap(metricsIn)))
const asked = ALERTS.flatMap(({ expr }) => metricsIn(expr))
for (const name of new Set([...shown, ...asked])) {
  if (!metrics.some((metric) => metric.name === name)) complain(`scripts/observing: there is no metric ${name}`)
}
for (const { name } of metrics) {
  if (name.startsWith('matrix_knock_') && !shown.includes(name))
    complain(`scripts/observing/panels.ts: no panel shows ${name}`)
}
const page = readFileSync(join(root, 'docs/operating.md'), 'utf8')
for (const { alert } of ALERTS) {
  if (!page.includes(`| \`${alert}\` |`)) complain(`docs/operating.md: the table of alerts lacks ${alert}`)
}
bringUpToDate('config/grafana-dashboard.json', dashboard(metrics))
bringUpToDate('config/alerts.yaml', alertRules())
