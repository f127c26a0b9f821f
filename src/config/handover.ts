/** How knocks reach the homeserver: the one choice that `run` never makes for the operator. */
import type { Problem } from './problem.ts'
import type { Config } from './schema.ts'

/** The problem, if no way was chosen. */
export function requireHandover({ homeserver }: Config): readonly Problem[] {
  if (homeserver.handover !== undefined) return []
  const reason = 'there is no default, because a wrong choice loses knocks or makes two authorities for one room'
  const what = `is missing; expected none, for rooms that no homeserver serves (${reason})`
  return [{ key: 'homeserver.handover', what }]
}
