/** Plays scenarios beside a homeserver, and notes for the table what came of each. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Stage, setStage } from './beside-stage.ts'
import { answers } from './play-answers.ts'
import { faults } from './play-faults.ts'
import { knocks } from './play-knocks.ts'
import { places } from './play-places.ts'
import { refusals } from './play-refusals.ts'
import { playableIn, SCENARIOS, type ScenarioName } from './scenarios.ts'
import { kindName, type RoomKind, type Setting } from './settings.ts'

/** @returns the evidence: ids of accepted knocks, answers to the others */
export type Play = (stage: Stage, kind: RoomKind) => Promise<readonly string[]>

const PLAYS: Readonly<Record<ScenarioName, Play>> = { ...knocks, ...answers, ...refusals, ...places, ...faults }

/** All scenarios of a setting, with one cast. */
export function playAll(setting: Setting): void {
  describe(`the service, ${setting.name}`, () => {
    let stage: Stage

    beforeAll(async () => {
      stage = await setStage(setting)
    })

    afterAll(async () => {
      await stage?.close()
    })

    for (const name of Object.keys(SCENARIOS) as ScenarioName[]) {
      const scenario = SCENARIOS[name]
      for (const kind of playableIn(scenario, setting)) {
        it(`${scenario.title}, version ${kindName(kind)}`, async ({ task }) => {
          const evidence = await PLAYS[name](stage, kind)
          expect(evidence.length).toBeGreaterThan(0)
          task.meta.cell = { scenario: name, setting: setting.name, kind: kindName(kind), evidence }
        })
      }
    }
  })
}
