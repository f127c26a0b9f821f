/** How commands end and where they write: part of the contract that scripts rely on. */
import { stackLines, visible } from '../observability/visible.ts'

/** 0 done, 1 failed or refused, 2 wrong usage, 78 wrong configuration. */
export type ExitCode = 0 | 1 | 2 | 78

/** Where a command writes, line by line: what is given as one line is shown as one. */
export interface Output {
  /** Results. */
  out(line: string): void
  /** What went wrong, and warnings. */
  err(line: string): void
}

/** The way out of every command: nothing that strangers wrote does more on a terminal than being read. */
export function visibleOutput({ out, err }: Output): Output {
  return { out: (line) => out(visibleLine(line)), err: (line) => err(visibleLine(line)) }
}

/** Tabs that indent a line may stay. */
function visibleLine(line: string): string {
  const text = line.replace(/^\t+/, '')
  return line.slice(0, line.length - text.length) + visible(text)
}

/** Writes a text of several lines as a result. */
export function outText(output: Output, text: string): void {
  for (const line of text.split('\n')) output.out(line)
}

/** Writes a value as JSON, indented. */
export function outJson(output: Output, value: unknown): void {
  outText(output, JSON.stringify(value, null, 2))
}

/** Writes a bug, with its stack for who mends it. */
export function errFault(output: Output, error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  for (const line of stackLines(text)) output.err(line)
}

/** Writes problems, one line each. */
export function misconfigured(output: Output, problems: readonly string[]): 78 {
  for (const problem of problems) output.err(problem)
  return 78
}
