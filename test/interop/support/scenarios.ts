/**
 * What has to hold beside a homeserver, and where each of it is played. The table at the end of the run has a cell for
 * every scenario, setting and kind of room; one that stays empty fails the run.
 */
import { BY_AGE, EVERY_KIND, EVERY_SETTING, NEWEST, type RoomKind, type Setting } from './settings.ts'

export interface Scenario {
  /** A sentence. */
  readonly title: string
  readonly settings: readonly Setting[]
  /** The kinds of rooms where a feed tells the news; without one the newest are enough. */
  readonly kinds: readonly RoomKind[]
}

export const SCENARIOS = {
  firstOnUnknownRoom: {
    title: 'a knock is the first that the service hears of a room',
    settings: EVERY_SETTING,
    kinds: EVERY_KIND,
  },
  withReason: {
    title: 'a knock with a reason is seen by a moderator and by a member on a third server',
    settings: EVERY_SETTING,
    kinds: EVERY_KIND,
  },
} as const satisfies Readonly<Record<string, Scenario>>

export type ScenarioName = keyof typeof SCENARIOS

/** The kinds of rooms that a scenario is played in, in one setting. */
export function kindsIn(scenario: Scenario, setting: Setting): readonly RoomKind[] {
  if (!scenario.settings.includes(setting)) return []
  return BY_AGE.includes(setting) ? scenario.kinds.filter((kind) => NEWEST.includes(kind)) : scenario.kinds
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
