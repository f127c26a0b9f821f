/** How knocks reach the homeserver: the one choice that `run` never makes for the operator. */
import type { Problem } from './problem.ts'
import type { Config } from './schema.ts'

/** The problem, if no way was chosen. */
export function requireHandover({ homeserver: { handover } }: Config): readonly Problem[] {
  if (handover !== undefined) return []
  const reason = 'there is no default, because a wrong choice loses knocks or makes two authorities for one room'
  const ways = 'none for rooms that no homeserver serves, inject or forward for a homeserver next door'
  return [{ key: 'homeserver.handover', what: `is missing; expected ${ways} (${reason})` }]
}
