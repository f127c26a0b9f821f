import { describe, expect, it } from 'vitest'
import type { OriginalRequest, UpstreamAnswer } from '../../src/knock/ports/homeserver.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { refusal } from '../../src/matrix/refusal.ts'
import { bans, continueRoom, says, type TestRoom } from '../support/test-room.ts'
import { ALICE, CAROL, importRoom, NOW, stage, usualRoom } from './stage.ts'

/** A room that a homeserver has, which writes the templates and may be further than what was read of it. */
async function beside(room: TestRoom) {
  const asked: { readonly original: OriginalRequest; readonly deadline: number }[] = []
  const anew: (number | undefined)[] = []
  const play = {
    answer: templateOf(room),
    /** What the room is read as from the second reading on. */
    later: room,
  }
  const set = await stage(room, {
    homeserver: {
      supply: {
        async refresh(_room, { notBefore }) {
          anew.push(notBefore)
          if (notBefore !== undefined) await importRoom(set.store, play.later)
          return { kind: 'fresh', ageMs: 0 }
        },
      },
      handover: { homeserverDelivers: true, handOver: async () => ({ kind: 'accepted' }) },
      templates: {
        async passOn(original, deadline) {
          asked.push({ original, deadline })
          return play.answer
        },
      },
    },
  })
  return { ...set, asked, anew, play }
}

function templateOf(room: TestRoom, changes: JsonObject = {}, version: string = room.version): UpstreamAnswer {
  const event = {
    ...{ type: 'm.room.member', room_id: room.roomId, sender: CAROL.id, state_key: CAROL.id },
    ...{ content: { membership: 'knock' }, depth: Number(room.tip.pdu.depth) + 1, origin_server_ts: 123 },
    ...{ prev_events: [room.tip.eventId], auth_events: room.authEventsFor(CAROL.id) },
    ...changes,
  }
  return { kind: 'answered', body: { room_version: version, event } }
}

describe('a template of the homeserver, in a room that is known here', () => {
  it('is given in place of ours, for the request as it came and by its deadline', async () => {
    const room = usualRoom()
    const { make, asked, anew, decisions } = await beside(room)
    const original: OriginalRequest = { method: 'GET', uri: '/x', authorization: ['y'], body: undefined }
    const answer = await make(CAROL, { original, deadline: NOW + 1_000 })
    const { body } = templateOf(room) as { body: JsonObject }
    expect(answer).toEqual({ ok: true, template: body })
    expect(asked).toEqual([{ original, deadline: NOW + 1_000 }])
    expect(anew).toEqual([undefined])
    expect(await decisions()).toEqual([])
  })

  it('is asked for only where the room lets the user knock', async () => {
    const { make, asked } = await beside(usualRoom('10', [bans(ALICE, CAROL)]))
    expect(await make(CAROL)).toMatchObject({ status: 403 })
    expect(await make(CAROL, { versions: ['9'] })).toMatchObject({ status: 400 })
    expect(asked).toEqual([])
  })

  it('that builds on what is not known here has the room read anew, and everything asked again', async () => {
    const room = usualRoom()
    const { make, asked, anew, play } = await beside(room)
    play.later = continueRoom(room, [says(ALICE, 'more')])
    play.answer = templateOf(play.later)
    const answer = await make(CAROL)
    expect(answer).toMatchObject({ ok: true, template: { event: { prev_events: [play.later.tip.eventId] } } })
    expect(anew).toEqual([undefined, NOW])
    expect(asked).toHaveLength(2)
    const banned = await beside(room)
    banned.play.later = continueRoom(room, [bans(ALICE, CAROL)])
    banned.play.answer = templateOf(banned.play.later)
    expect(await banned.make(CAROL)).toMatchObject({ status: 403, rule: expect.stringMatching(/^auth v10/) })
    expect(banned.asked).toHaveLength(1)
  })

  it('builds on those of the last events alone that the room as it is read anew has', async () => {
    const room = usualRoom()
    const { make, asked, play } = await beside(room)
    const { tip } = room
    play.answer = templateOf(room, { prev_events: ['$unusable', tip.eventId] })
    expect(await make(CAROL)).toMatchObject({ ok: true, template: { event: { prev_events: [tip.eventId] } } })
    expect(asked).toHaveLength(2)
  })

  it.each<[string, JsonObject]>([
    ['prev_events', { prev_events: ['$nobody'] }],
    ['auth_events', { auth_events: ['$nobody'] }],
  ])('whose %s stay unknown is 404 after three looks', async (_key, changes) => {
    const room = usualRoom()
    const { make, asked, play, decisions } = await beside(room)
    play.answer = templateOf(room, changes)
    expect(await make(CAROL)).toMatchObject({ status: 404, rule: 'homeserver: template' })
    expect(asked).toHaveLength(3)
    expect(await decisions()).toMatchObject([{ endpoint: 'make_knock', status: 404 }])
  })

  it.each<[string, JsonObject]>([
    ['no prev_events', { prev_events: [] }],
    ['prev_events that are no list', { prev_events: 'x' }],
    ['prev_events that are no ids', { prev_events: [1] }],
    ['more prev_events than an event may have', { prev_events: Array.from({ length: 21 }, (_, at) => `$${at}`) }],
    ['more auth_events than an event may have', { auth_events: Array.from({ length: 11 }, (_, at) => `$${at}`) }],
  ])('with %s is none', async (_what, changes) => {
    const room = usualRoom()
    const { make, asked, play } = await beside(room)
    play.answer = templateOf(room, changes)
    expect(await make(CAROL)).toMatchObject({ status: 403, rule: 'template: the homeserver' })
    expect(asked).toHaveLength(1)
  })

  it('for another version than that of the room is none', async () => {
    const room = usualRoom()
    const { make, play } = await beside(room)
    play.answer = templateOf(room, {}, '11')
    expect(await make(CAROL)).toMatchObject({ status: 403, detail: expect.stringMatching(/room_version is not that/) })
  })

  it('that is refused is refused here, and that does not come is 404, or 504 where the homeserver does not answer at all', async () => {
    const { make, play, decisions } = await beside(usualRoom())
    play.answer = { kind: 'refused', refusal: refusal('M_FORBIDDEN', 'no', 'template: the homeserver') }
    expect(await make(CAROL)).toMatchObject({ status: 403, error: 'no' })
    play.answer = { kind: 'unknown', reason: 'make_knock answers 502' }
    expect(await make(CAROL)).toMatchObject({ status: 404, detail: 'make_knock answers 502' })
    play.answer = { kind: 'out of order', reason: 'make_knock: ECONNREFUSED' }
    expect(await make(CAROL)).toMatchObject({ status: 504, detail: 'make_knock: ECONNREFUSED' })
    expect(await decisions()).toMatchObject([{ status: 504 }, { status: 404 }, { status: 403, reason: 'no' }])
  })
})
