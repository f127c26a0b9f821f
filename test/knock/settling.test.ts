import { describe, expect, it } from 'vitest'
import type { Handover, KnockToHandOver } from '../../src/knock/ports/homeserver.ts'
import type { CommitOutcome, KnockCommit } from '../../src/knock/ports/rooms.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import { bans, joinRule, joins, kicks, type Line } from '../support/test-room.ts'
import { ALICE, CAROL, importRoom, NOW, stage, usualRoom } from './stage.ts'

/** A store that answers the first commits as told, and then as it would. */
function answering(outcomes: CommitOutcome[], commits: KnockCommit[], before?: (store: Store) => Promise<void>) {
  return (store: Store): Store => ({
    ...store,
    async commitKnock(commit) {
      commits.push(commit)
      if (commits.length === 1) await before?.(store)
      return outcomes.shift() ?? store.commitKnock(commit)
    },
  })
}

describe('recording a knock', () => {
  it('F10 says the same again for an event that was accepted before, and delivers it once', async () => {
    const { send, knock, delivered, decisions } = await stage()
    const event = knock(CAROL)
    const first = await send(event)
    expect(await send(event)).toEqual(first)
    expect(await delivered()).toHaveLength(1)
    expect(await decisions()).toHaveLength(1)
  })

  it('F10 is 403 once the knock was answered', async () => {
    const { send, knock, store, room } = await stage()
    const event = knock(CAROL)
    expect(await send(event)).toMatchObject({ ok: true })
    const answered = { ...usualRoom('10', [bans(ALICE, CAROL)]), roomId: room.roomId }
    await importRoom(store, answered)
    expect(await send(event)).toMatchObject({ ok: false, status: 403, errcode: 'M_FORBIDDEN' })
  })

  it('F10 says so too for a knock that came into the room another way, and records and delivers nothing', async () => {
    const knocks: Line = { ...joins(CAROL), content: { membership: 'knock' } }
    const { send, delivered, decisions, room, become } = await stage(usualRoom('10', [knocks]))
    expect(await send(room.tip)).toMatchObject({ ok: true, body: expect.stringContaining('knock_room_state') })
    expect([await delivered(), await decisions()]).toEqual([[], []])
    await become({ ...usualRoom('10', [knocks, kicks(ALICE, CAROL)]), roomId: room.roomId })
    expect(await send(room.tip)).toMatchObject({ ok: false, status: 403, rule: 'repeated knock' })
  })

  it('hands a knock over that the homeserver has in the room and that was not recorded here, and records it', async () => {
    const knocks: Line = { ...joins(CAROL), content: { membership: 'knock' } }
    const given: KnockToHandOver[] = []
    const supply = { refresh: async () => ({ kind: 'fresh' as const, ageMs: 0 }) }
    const handover: Handover = {
      homeserverDelivers: false,
      async handOver(knock) {
        given.push(knock)
        return { kind: 'accepted' }
      },
    }
    const room = usualRoom('10')
    const { send, become, delivered } = await stage(room, { homeserver: { supply, handover, templates: undefined } })
    await become({ ...usualRoom('10', [knocks]), roomId: room.roomId })
    const { tip } = usualRoom('10', [knocks])
    expect(await send(tip)).toMatchObject({ ok: true })
    expect(given).toHaveLength(1)
    expect(await delivered()).toHaveLength(1)
    expect(await send(tip)).toMatchObject({ ok: true })
    expect(given).toHaveLength(1)
  })

  it('a second knock by another event is recorded as well', async () => {
    const { send, knock, make, delivered } = await stage()
    expect(await send(knock(CAROL))).toMatchObject({ ok: true })
    const template = await make(CAROL)
    if (!template.ok) throw new Error(template.error)
    const { prev_events, auth_events, depth } = template.template.event as never
    expect(await send(knock(CAROL, { prev_events, auth_events, depth }))).toMatchObject({ ok: true })
    expect(await delivered()).toHaveLength(2)
  })

  it('compares what it read: facts and membership', async () => {
    const commits: KnockCommit[] = []
    const { send, knock, store, room } = await stage(usualRoom(), { wrap: answering([], commits) })
    expect(await send(knock(CAROL))).toMatchObject({ ok: true })
    const head = (await store.readRoom(commits[0]?.roomId as never, CAROL.id as never))?.head
    expect(commits).toMatchObject([
      {
        roomId: room.roomId,
        sender: CAROL.id,
        expect: { factsRevision: head?.factsRevision, membership: undefined },
        skipServers: ['here.test', 'remote.test'],
      },
    ])
  })

  it('decides anew where the room changed meanwhile', async () => {
    const commits: KnockCommit[] = []
    const { send, knock } = await stage(usualRoom(), { wrap: answering([{ kind: 'conflict' }], commits) })
    expect(await send(knock(CAROL))).toMatchObject({ ok: true })
    expect(commits).toHaveLength(2)
  })

  it.each([
    ['a ban', [bans(ALICE, CAROL)]],
    ['another join rule', [joinRule(ALICE, 'invite')]],
  ] as const)('refuses where %s came between deciding and writing', async (_what, lines) => {
    const commits: KnockCommit[] = []
    const room = usualRoom()
    const change = (store: Store) => importRoom(store, { ...usualRoom('10', lines), roomId: room.roomId })
    const { send, knock, membership } = await stage(room, { wrap: answering([], commits, change) })
    expect(await send(knock(CAROL))).toMatchObject({ status: 403 })
    expect(await membership(CAROL)).not.toBe('knock')
  })

  it('answers as for a repeat where the same event was recorded meanwhile', async () => {
    const commits: KnockCommit[] = []
    const { send, knock, delivered } = await stage(usualRoom(), { wrap: answering([], commits) })
    const event = knock(CAROL)
    const [first, second] = await Promise.all([send(event), send(event)])
    expect(first).toEqual(second)
    expect(first).toMatchObject({ ok: true })
    expect(await delivered()).toHaveLength(1)
  })

  it('looks again where the store says that the event is recorded already', async () => {
    const commits: KnockCommit[] = []
    const record = async (store: Store) => {
      const [commit] = commits
      if (commit !== undefined) await store.commitKnock(commit)
    }
    const { send, knock } = await stage(usualRoom(), { wrap: answering([{ kind: 'duplicate' }], commits, record) })
    expect(await send(knock(CAROL))).toMatchObject({ ok: true })
    expect(commits).toHaveLength(1)
  })

  it('gives up after 16 rounds, with an error that asks to try again', async () => {
    const commits: KnockCommit[] = []
    const conflicts = Array.from({ length: 100 }, (): CommitOutcome => ({ kind: 'conflict' }))
    const { send, knock, decisions } = await stage(usualRoom(), { wrap: answering(conflicts, commits) })
    expect(await send(knock(CAROL))).toMatchObject({ status: 404, errcode: 'M_NOT_FOUND' })
    expect(commits).toHaveLength(16)
    expect(await decisions()).toMatchObject([{ outcome: 'refused', status: 404, time: NOW }])
  })

  it('is 500 where the store cannot write, without saying why', async () => {
    const commits: KnockCommit[] = []
    const failed: CommitOutcome = { kind: 'failed', reason: 'disk full at /secret' }
    const { send, knock } = await stage(usualRoom(), { wrap: answering([failed], commits) })
    const answer = await send(knock(CAROL))
    expect(answer).toMatchObject({ status: 500, errcode: 'M_UNKNOWN' })
    expect(JSON.stringify(answer)).not.toContain('secret')
  })
})
