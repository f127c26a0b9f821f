/**
 * The stranger's toolbox beside real homeservers: whatever somebody with one authentic server brings into a room, another
 * user's knock is answered 200 afterwards, by the service that was there and by one that reads the room for the first time.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WITH_FEED } from './support/settings.ts'
import { SHAPES_OF_EVENTS } from './support/shapes-of-events.ts'
import { SHAPES_OF_KNOCKS } from './support/shapes-of-knocks.ts'
import { SHAPES_WITH_A_PAST } from './support/shapes-with-a-past.ts'
import type { Shape } from './support/toolbox.ts'
import { DEAD, LET_IN, setToolboxStage, type ToolboxStage } from './support/toolbox-stage.ts'

const KNOCKS: readonly Shape[] = [...SHAPES_OF_KNOCKS, ...SHAPES_WITH_A_PAST]
/** What is no knock comes in past the service, and is read alike whichever way knocks are handed over. */
const SHAPES = { inject: [...KNOCKS, ...SHAPES_OF_EVENTS], forward: KNOCKS } as const
/** So many of them must have come into rooms, or too little was tried. */
const LEAST = 20

describe.each(WITH_FEED)('the stranger’s toolbox, $name', (setting) => {
  const cameIn = new Set<Shape>()
  let stage: ToolboxStage

  beforeAll(async () => {
    stage = await setToolboxStage(setting)
  })
  afterAll(async () => {
    await stage?.close()
  })

  for (const shape of SHAPES[setting.handover]) {
    it(`leaves a room open to others with ${shape.title}`, async ({ task }) => {
      const outcomes = await stage.play(shape)
      if (outcomes.some(({ isIn }) => isIn)) cameIn.add(shape)
      task.meta.shape = { title: shape.title, setting: setting.name, outcomes }
      for (const { witness, status, way } of outcomes) {
        expect(witness).toBeOneOf([LET_IN, DEAD])
        if (way === 'send_knock') expect(status).toBeLessThan(500)
      }
    })
  }

  it('came into rooms for a good part', () => {
    expect(cameIn.size).toBeGreaterThanOrEqual(LEAST)
  })

  describe('before a service that reads these rooms for the first time', () => {
    beforeAll(() => stage.newService())

    for (const shape of SHAPES[setting.handover]) {
      it(`leaves a room open to others with ${shape.title}`, async () => {
        expect(await stage.knockAfter(shape)).toBeOneOf([LET_IN, DEAD])
      })
    }
  })
})
