/** How knocks reach the homeserver: the one choice that `run` never makes for the operator. */
import type { Problem } from './problem.ts'
import type { Config } from './schema.ts'

/** The problem, if no way was chosen, or one that is not built. */
export function requireHandover({ homeserver: { handover, template } }: Config): readonly Problem[] {
  const key = 'homeserver.handover'
  if (handover === undefined) {
    const reason = 'there is no default, because a wrong choice loses knocks or makes two authorities for one room'
    const ways = 'none for rooms that no homeserver serves, inject or forward for a homeserver next door'
    return [{ key, what: `is missing; expected ${ways} (${reason})` }]
  }
  if (template === 'upstream') {
    return [{ key: 'homeserver.template', what: '"upstream" is not in this build yet; expected own' }]
  }
  return []
}
