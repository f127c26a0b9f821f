import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { PROMTOOL_PROGRAM } from '../interop/support/install.ts'

const RULES = fileURLToPath(new URL('../../config/alerts.yaml', import.meta.url))
const CASES = fileURLToPath(new URL('./alerts.promtool.yaml', import.meta.url))
const DASHBOARD = fileURLToPath(new URL('../../config/grafana-dashboard.json', import.meta.url))

interface AlertCase {
  readonly alertname: string
  readonly exp_alerts: readonly unknown[]
}

const promtool = (...args: readonly string[]) => promisify(execFile)(PROMTOOL_PROGRAM, args)

describe('the alerts', () => {
  it('are rules that Prometheus takes', async () => {
    const { stdout } = await promtool('check', 'rules', RULES)
    expect(stdout).toContain('SUCCESS')
  })

  it('fire where they should, and nowhere else', async () => {
    const { stdout } = await promtool('test', 'rules', CASES)
    expect(stdout).toContain('SUCCESS')
  })

  it('are each seen firing and silent', () => {
    const named: string[] = parse(readFileSync(RULES, 'utf8')).groups[0].rules.map(
      ({ alert }: { alert: string }) => alert,
    )
    const cases: AlertCase[] = parse(readFileSync(CASES, 'utf8')).tests.flatMap(
      ({ alert_rule_test }: { alert_rule_test: AlertCase[] }) => alert_rule_test,
    )
    const namesOf = (some: readonly AlertCase[]) => [...new Set(some.map(({ alertname }) => alertname))].sort()
    expect(namesOf(cases.filter(({ exp_alerts: expected }) => expected.length > 0))).toEqual([...named].sort())
    expect(namesOf(cases.filter(({ exp_alerts: expected }) => expected.length === 0))).toEqual([...named].sort())
  })
})

describe('the dashboard', () => {
  it('asks what Prometheus can answer', async () => {
    const { panels } = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as { panels: { targets?: { expr: string }[] }[] }
    const asked = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    const rules = asked.map((expr, at) => ({ record: `asked:${at}`, expr: expr.replaceAll('$__rate_interval', '5m') }))
    const directory = mkdtempSync(join(tmpdir(), 'matrix-knock-dashboard-'))
    try {
      const path = join(directory, 'rules.yaml')
      writeFileSync(path, stringify({ groups: [{ name: 'dashboard', rules }] }))
      const { stdout } = await promtool('check', 'rules', path)
      expect(stdout).toContain(`SUCCESS: ${asked.length} rules found`)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
