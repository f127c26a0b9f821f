/** How the service stands beside a homeserver, and in which rooms: what every scenario is played in. */
import { KNOCKABLE_VERSIONS } from '../../support/events.ts'
import type { JsonRecord } from '../../support/signing.ts'
import type { Homeserver } from './homeserver.ts'

export interface Setting {
  readonly name: string
  readonly resident: Homeserver['kind']
  readonly handover: 'inject' | 'forward'
  /** What tells the service that a room has changed. */
  readonly news: 'feed' | 'age'
}

function setting(resident: Setting['resident'], handover: Setting['handover'], news: Setting['news']): Setting {
  const without = news === 'age' ? ', no appservice' : ''
  return { name: `${handover} with ${resident}${without}`, resident, handover, news }
}

export const SETTINGS = {
  dendriteInject: setting('dendrite', 'inject', 'feed'),
  synapseInject: setting('synapse', 'inject', 'feed'),
  synapseForward: setting('synapse', 'forward', 'feed'),
  dendriteInjectByAge: setting('dendrite', 'inject', 'age'),
  synapseInjectByAge: setting('synapse', 'inject', 'age'),
  synapseForwardByAge: setting('synapse', 'forward', 'age'),
} as const

export const WITH_FEED: readonly Setting[] = Object.values(SETTINGS).filter(({ news }) => news === 'feed')
export const BY_AGE: readonly Setting[] = Object.values(SETTINGS).filter(({ news }) => news === 'age')
export const EVERY_SETTING: readonly Setting[] = [...WITH_FEED, ...BY_AGE]

/** A version and a join rule that lets people knock. */
export interface RoomKind {
  readonly version: (typeof KNOCKABLE_VERSIONS)[number]
  readonly rule: 'knock' | 'knock_restricted'
}

/** From this version on rooms can have the rule knock_restricted. */
const KNOCK_RESTRICTED: readonly string[] = ['10', '11', '12']

export const EVERY_KIND: readonly RoomKind[] = KNOCKABLE_VERSIONS.flatMap((version) => [
  { version, rule: 'knock' as const },
  ...(KNOCK_RESTRICTED.includes(version) ? [{ version, rule: 'knock_restricted' as const }] : []),
])
export const ONE_OF_EACH_VERSION: readonly RoomKind[] = EVERY_KIND.filter(({ rule }) => rule === 'knock')
/** Where the version cannot matter: the one that most rooms have, and the newest. */
export const NEWEST: readonly RoomKind[] = ONE_OF_EACH_VERSION.filter(({ version }) => Number(version) >= 11)

export function kindName({ version, rule }: RoomKind): string {
  return rule === 'knock' ? version : `${version} ${rule}`
}

/** Content of `m.room.join_rules`. */
export function joinRules({ rule }: RoomKind, homeserver: Homeserver): JsonRecord {
  if (rule === 'knock') return { join_rule: rule }
  return { join_rule: rule, allow: [{ type: 'm.room_membership', room_id: `!elsewhere:${homeserver.name}` }] }
}
