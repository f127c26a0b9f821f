/** Figures as a table for people, and as one object for programs. */
import { loadavg } from 'node:os'
import { aimText, type Figure, isReached } from './figures.ts'

const HEAD = ['figure', 'measured', 'aim', '', 'what']

export function table(figures: readonly Figure[]): string {
  const rows = [HEAD, ...figures.map(row)]
  const widths = HEAD.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)))
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function row({ key, what, value, unit, aim }: Figure): readonly string[] {
  const reached = aim === undefined ? '' : isReached(aim, value) ? 'reached' : 'MISSED'
  return [key, `${rounded(value)} ${unit}`.trim(), aim === undefined ? '' : aimText(aim), reached, what]
}

export function jsonObject(figures: readonly Figure[]): Readonly<Record<string, number | string>> {
  return {
    measured_at: new Date().toISOString(),
    node: process.version,
    load_average: rounded(loadavg()[0] ?? 0),
    ...Object.fromEntries(figures.map(({ key, value }) => [key, rounded(value)])),
  }
}

/** Three digits say as much as was measured. */
function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3))
}
