/** One thing that must hold for the service to work, and what an operator does where it does not. */

export interface Finding {
  /** `note`: worth knowing, and nothing to mend. */
  readonly outcome: 'ok' | 'note' | 'failed'
  /** What was found. */
  readonly detail: string
  /** Where it failed: the line to change or the command to run. */
  readonly remedy?: string
  /** Where it failed: the page of the docs. */
  readonly docs?: string
}

export interface Check {
  /** A few words: `clock`, `signing key`. */
  readonly name: string
  run(): Promise<Finding>
}

/** A check with its outcome. */
export interface Checked extends Finding {
  readonly name: string
}

export function ok(detail: string): Finding {
  return { outcome: 'ok', detail }
}

export function note(detail: string): Finding {
  return { outcome: 'note', detail }
}

export function failed(detail: string, remedy: string, docs: string): Finding {
  return { outcome: 'failed', detail, remedy, docs }
}

/** Runs the checks one after the other: later ones make sense of what earlier ones found. */
export async function runChecks(checks: readonly Check[]): Promise<readonly Checked[]> {
  const results: Checked[] = []
  for (const { name, run } of checks) results.push({ name, ...(await run()) })
  return results
}
