/**
 * What has to hold beside a homeserver, and where each of it is played. The table at the end of the run has a cell for
 * every scenario, setting and kind of room; one that stays empty fails the run, but for kinds that its homeserver lacks.
 */
import { hasVersion } from './room-versions.ts'
import {
  BY_AGE,
  EVERY_KIND,
  EVERY_SETTING,
  NEWEST,
  ONE_OF_EACH_VERSION,
  type RoomKind,
  SETTINGS,
  type Setting,
  WITH_FEED,
} from './settings.ts'

export interface Scenario {
  /** A sentence. */
  readonly title: string
  readonly settings: readonly Setting[]
  /** The kinds of rooms where a feed tells the news; without one the newest are enough. */
  readonly kinds: readonly RoomKind[]
}

const everywhere = { settings: EVERY_SETTING, kinds: EVERY_KIND }
const anyRule = { settings: EVERY_SETTING, kinds: ONE_OF_EACH_VERSION }
const anyVersion = { settings: EVERY_SETTING, kinds: NEWEST }

export const SCENARIOS = {
  withReason: { title: 'a knock with a reason is seen by a moderator and by a third server’s user', ...everywhere },
  withoutReason: { title: 'a knock without a reason is seen by both', ...everywhere },
  again: { title: 'a user who knocks already knocks again', ...everywhere },
  afterRejection: { title: 'a user knocks again after a kick (Dendrite: ban and unban)', ...everywhere },
  afterWrittenLeave: { title: 'a user knocks again after a moderator wrote that they left', ...everywhere },
  takenBack: { title: 'a knock that its server takes back is gone from the room', ...everywhere },
  accepted: { title: 'an invitation accepts a knock, the user joins, and both see what the other says', ...everywhere },
  firstOnUnknownRoom: { title: 'a knock is the first that the service hears of a room', ...anyRule },
  fromElsewhere: { title: 'a knock on a room that was made on a third server', ...anyRule },
  newName: { title: 'who knocks is shown the room’s new name', ...anyVersion },
  afterLeaving: { title: 'a user whose knock was accepted leaves, and knocks again', ...anyVersion },
  // Synapse names ten of a room's last events, so without a feed nothing shows the others among them.
  sameTemplate: {
    title: 'twenty knocks at once that build on the same event',
    settings: [...WITH_FEED, SETTINGS.dendriteInjectByAge],
    kinds: NEWEST,
  },
  lively: { title: 'users knock while others talk, come and go', ...anyVersion },
  crowd: { title: 'twenty users knock at once', ...anyVersion },
  wrongRule: { title: 'refused: a room with another join rule', ...anyRule },
  invited: { title: 'refused: an invited user', ...everywhere },
  joined: { title: 'refused: a joined user', ...everywhere },
  banned: { title: 'refused: a banned user', ...everywhere },
  deniedServer: { title: 'refused: a server that the room’s ACL denies', ...anyRule },
  ruleChanged: { title: 'refused: the join rule changed after the template', ...anyRule },
  bannedSince: { title: 'refused: the user was banned after the template', ...everywhere },
  openedAgain: { title: 'the join rule and the ACL let people knock again', ...anyVersion },
  bannedJustNow: { title: 'refused: the user was banned a moment ago', ...anyVersion },
  otherLocalUser: { title: 'the local user whom the service knows leaves, another stays', ...anyVersion },
  comesBack: { title: 'a local user comes back to a room that the last had left', ...anyVersion },
  leftRoom: { title: 'not found: the last local user has left the room', ...anyRule },
  unknownRoom: { title: 'not found: a room that never was', settings: EVERY_SETTING, kinds: [NEWEST[0] as RoomKind] },
  homeserverRestarts: { title: 'the homeserver restarts between template and knock', ...anyVersion },
  serviceRestarts: { title: 'the service restarts between template and knock', ...anyVersion },
  bannedAfterRestarts: { title: 'refused: banned after service and homeserver were started again', ...anyVersion },
  homeserverHangs: {
    title: 'while the homeserver hangs the answer is 504, and the same knock is accepted afterwards',
    settings: WITH_FEED,
    kinds: [NEWEST[0] as RoomKind],
  },
  homeserverDown: {
    title: 'while the homeserver is down the answer is 504, and the same knock is accepted afterwards',
    settings: WITH_FEED,
    kinds: NEWEST,
  },
} as const satisfies Readonly<Record<string, Scenario>>

export type ScenarioName = keyof typeof SCENARIOS

/** The kinds of rooms that the table has for a scenario in one setting, whether the homeserver of this run has them or not. */
export function kindsIn(scenario: Scenario, setting: Setting): readonly RoomKind[] {
  if (!scenario.settings.includes(setting)) return []
  return BY_AGE.includes(setting) ? scenario.kinds.filter((kind) => NEWEST.includes(kind)) : scenario.kinds
}

/** Those of them in which the scenario is played. */
export function playableIn(scenario: Scenario, setting: Setting): readonly RoomKind[] {
  return kindsIn(scenario, setting).filter(({ version }) => hasVersion(setting.resident, version))
}

/** One cell of the table: what shows that the scenario was played. */
export interface Cell {
  readonly scenario: ScenarioName
  readonly setting: string
  readonly kind: string
  /** Ids of the knocks that were accepted, and the answers to the others. */
  readonly evidence: readonly string[]
}

declare module 'vitest' {
  interface TaskMeta {
    cell?: Cell
  }
}
