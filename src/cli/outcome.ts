/** How commands end and where they write: part of the contract that scripts rely on. */

/** 0 done, 1 failed or refused, 2 wrong usage, 78 wrong configuration. */
export type ExitCode = 0 | 1 | 2 | 78

/** Where a command writes, line by line. */
export interface Output {
  /** Results. */
  out(line: string): void
  /** What went wrong, and warnings. */
  err(line: string): void
}

/** Writes problems, one line each. */
export function misconfigured(output: Output, problems: readonly string[]): 78 {
  for (const problem of problems) output.err(problem)
  return 78
}
