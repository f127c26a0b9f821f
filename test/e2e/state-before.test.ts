import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '../support/http-client.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import type { JsonRecord } from '../support/signing.ts'
import { bans, buildRoom, joinRule, kicks, type Line, opening, person, type TestRoom } from '../support/test-room.ts'
import { type Cast, type Stage, setStage, until } from './stage.ts'

interface Told {
  readonly before: TestRoom
  readonly after: TestRoom
}

let stage: Stage
let closes: Told
let opens: Told
let pardons: Told
let goesOn: Told

/** A room, and the same room when something more has happened in it. */
function tell({ alice }: Cast, localpart: string, start: readonly Line[], more: readonly Line[]): Told {
  const options = { localpart, since: Date.now() - 3_600_000 }
  const before = [...opening(alice, '10'), ...start]
  return {
    before: buildRoom('10', alice, before, options),
    after: buildRoom('10', alice, [...before, ...more], options),
  }
}

beforeAll(async () => {
  stage = await setStage((cast) => {
    const { alice, remote } = cast
    const kim = person('kim', remote.identity)
    closes = tell(cast, 'closes', [], [joinRule(alice, 'invite')])
    opens = tell(cast, 'opens', [joinRule(alice, 'invite')], [joinRule(alice, 'knock')])
    pardons = tell(cast, 'pardons', [bans(alice, kim)], [kicks(alice, kim)])
    goesOn = tell(cast, 'goes-on', [], [joinRule(alice, 'knock')])
    return [closes, opens, pardons, goesOn].map(({ before }) => before)
  })
  for (const { after } of [closes, opens, pardons]) {
    expect(await stage.service.importRoom(after)).toMatchObject({ code: 0 })
  }
  await until('effect of the imports', async () => {
    const [closed, opened] = [
      await knockAt(closes.after),
      await makeKnock(stage.service, stage.knocker('jo'), opens.after),
    ]
    return closed.status === 403 && opened.status === 200
  })
})
afterAll(() => stage?.close())

/** Sends a knock as this telling of the room asks for it. */
function knockAt(room: TestRoom, changes: JsonRecord = {}, localpart = 'kim'): Promise<Answer> {
  return sendKnock(stage.service, stage.remote.identity, room, knockEvent(room, stage.knocker(localpart), changes))
}

const forbidden = { status: 403, body: { errcode: 'M_FORBIDDEN', error: expect.any(String) } }
/** What a knock on an older end of the room names. */
const onTopOf = ({ tip }: TestRoom): JsonRecord => ({ prev_events: [tip.eventId], depth: Number(tip.pdu.depth) + 1 })
const tips = ({ before, after }: Told): readonly string[] => [before.tip.eventId, after.tip.eventId]

describe('the state before a knock', () => {
  it('F7 a knock allowed by its auth events and before it, but not by the current join rules, is 403', async () => {
    expect(await knockAt(closes.before)).toMatchObject(forbidden)
  })

  it('F7 a knock allowed by its auth events and now, but not by the join rules before it, is 403', async () => {
    expect(await knockAt(opens.after, onTopOf(opens.before))).toMatchObject(forbidden)
  })

  it('F7 a knock whose branches disagree on the join rules is 403', async () => {
    expect(await knockAt(opens.after, { prev_events: tips(opens) })).toMatchObject(forbidden)
  })

  it('F7 a knock from before a pardon is 403, one from after it is accepted', async () => {
    expect(await knockAt(pardons.after, onTopOf(pardons.before))).toMatchObject(forbidden)
    expect(await knockAt(pardons.after, { prev_events: tips(pardons) })).toMatchObject(forbidden)
    expect((await knockAt(pardons.after)).status).toBe(200)
  })

  it('F8 a knock that names a former extremity is accepted where nothing speaks against it', async () => {
    expect(await stage.service.importRoom(goesOn.after)).toMatchObject({ code: 0 })
    expect((await knockAt(goesOn.after, onTopOf(goesOn.before), 'late')).status).toBe(200)
  })

  it('F10 an accepted knock outlives another import of the room that does not know it', async () => {
    const event = knockEvent(goesOn.after, stage.knocker('kept'))
    const first = await sendKnock(stage.service, stage.remote.identity, goesOn.after, event)
    expect(first.status).toBe(200)
    const imported = await stage.service.importRoom(goesOn.after)
    expect(imported).toMatchObject({ code: 0, stdout: expect.stringMatching(/\bk(ept|nock)/i) })
    const again = await sendKnock(stage.service, stage.remote.identity, goesOn.after, event)
    expect({ status: again.status, text: again.text }).toEqual({ status: 200, text: first.text })
    const { body } = await makeKnock(stage.service, stage.knocker('next'), goesOn.after)
    expect((body.event as JsonRecord).prev_events).toContain(event.eventId)
  })
})
