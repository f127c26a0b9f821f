/** Columns of text for people at a terminal. */
import { printable } from '../observability/visible.ts'

/** Rows as lines, each column as wide as its widest cell. Control characters of strangers are shown, not obeyed. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const all = [...(head.length > 0 ? [head] : []), ...rows].map((row) => row.map(printable))
  const columns = Math.max(0, ...all.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, at) => Math.max(...all.map((row) => (row[at] ?? '').length)))
  return all.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
