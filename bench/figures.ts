/** What a run of the benchmark finds out, as numbers with names. */

export interface Figure {
  /** Its key in the JSON that `--json` writes. */
  readonly key: string
  readonly what: string
  readonly value: number
  readonly unit: '' | 's' | 'ms' | 'us' | 'MB' | '/s'
  readonly aim?: Aim
}

export type Aim = { readonly atLeast: number } | { readonly atMost: number } | { readonly below: number }

/** Some figures that are measured together. */
export interface Part {
  /** As on the command line. */
  readonly name: string
  measure(): Promise<readonly Figure[]>
}

export function aimText(aim: Aim): string {
  if ('atLeast' in aim) return `>= ${aim.atLeast}`
  return 'atMost' in aim ? `<= ${aim.atMost}` : `< ${aim.below}`
}

export function isReached(aim: Aim, value: number): boolean {
  if ('atLeast' in aim) return value >= aim.atLeast
  return 'atMost' in aim ? value <= aim.atMost : value < aim.below
}
