import { describe, expect, it } from 'vitest'
import type { Branch } from '../../src/knock/ports/rooms.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import type { EventId } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import { knockFields, pduOf } from '../matrix/given.ts'
import type { OracleJson, OracleObject } from '../oracle/json-value.ts'
import { bans, invites, joins, kicks } from '../support/test-room.ts'
import { ALICE, CAROL, importRoom, stage, usualRoom } from './stage.ts'

const FORBIDDEN = { status: 403, errcode: 'M_FORBIDDEN' }

function eventWith(type: string, content: OracleObject): RoomEvent {
  return { eventId: '$x' as EventId, pdu: pduOf(knockFields({ type, content })) }
}

interface BranchParts {
  readonly rule?: OracleJson
  readonly membership?: string
  readonly memberFlaw?: string
  readonly depth?: number
}

/** A stage whose store tells of these branches, whatever `prev_events` names. */
async function withBranches(...parts: readonly BranchParts[]) {
  const ids = parts.map((_, at) => `$${String(at).repeat(43)}` as EventId)
  const branches = new Map<EventId, Branch>(
    parts.map(({ rule = 'knock', membership, memberFlaw, depth = 10 }, at) => [
      ids[at] as EventId,
      {
        eventId: ids[at] as EventId,
        depth,
        joinRules: rule === null ? undefined : eventWith('m.room.join_rules', { join_rule: rule }),
        member: membership === undefined ? undefined : eventWith('m.room.member', { membership }),
        memberFlaw,
      },
    ]),
  )
  const wrap = (store: Store): Store => ({
    ...store,
    async readContext(question) {
      const context = await store.readContext(question)
      return context && { ...context, branches }
    },
    commitKnock: async () => ({ kind: 'committed', revision: 2 }),
  })
  const { send, knock } = await stage(usualRoom(), { wrap })
  return (changes: OracleObject = {}) => send(knock(CAROL, { prev_events: ids, depth: 11, ...changes }))
}

describe('the state before a knock', () => {
  it('F8 is unknown where prev_events is empty or names what is not known', async () => {
    const { send, knock, room } = await stage()
    expect(await send(knock(CAROL, { prev_events: [] }))).toMatchObject({
      ...FORBIDDEN,
      rule: 'state before the event',
    })
    const unknown = `$${'u'.repeat(43)}`
    for (const prev of [[unknown], [room.tip.eventId, unknown]]) {
      expect(await send(knock(CAROL, { prev_events: prev }))).toMatchObject({
        ...FORBIDDEN,
        rule: 'state before the event',
      })
    }
  })

  it('allows where every branch does', async () => {
    const send = await withBranches({}, { membership: 'leave' }, { membership: 'knock' })
    expect(await send()).toMatchObject({ ok: true })
  })

  it.each(['ban', 'invite', 'join'])('F7 refuses where one branch has the membership %s', async (membership) => {
    expect(await (await withBranches({}, { membership }))()).toMatchObject({ ...FORBIDDEN, rule: 'auth v10 4.7.4' })
    expect(await (await withBranches({ membership }, {}))()).toMatchObject({ ...FORBIDDEN, rule: 'auth v10 4.7.4' })
    expect(await (await withBranches({ membership }))()).toMatchObject(FORBIDDEN)
  })

  it('refuses where branches disagree on the join rule, even if each would do', async () => {
    const send = await withBranches({}, { rule: 'knock_restricted' })
    expect(await send()).toMatchObject({ ...FORBIDDEN, rule: 'state before the event' })
  })

  it('refuses where the join rule of the branches is another, or missing', async () => {
    expect(await (await withBranches({ rule: 'public' }))()).toMatchObject({ ...FORBIDDEN, rule: 'auth v10 4.7.1' })
    expect(await (await withBranches({ rule: null }))()).toMatchObject({ ...FORBIDDEN, rule: 'auth v10 4.7.1' })
    expect(await (await withBranches({ rule: 'knock_restricted' }))()).toMatchObject({ ok: true })
  })

  it('F7 is asked although the current state would allow', async () => {
    const before = usualRoom('10', [bans(ALICE, CAROL)])
    const { send, knock, store } = await stage(before)
    const unbanned = { ...usualRoom('10', [bans(ALICE, CAROL), kicks(ALICE, CAROL)]), roomId: before.roomId }
    const stale = knock(CAROL)
    await importRoom(store, unbanned)
    const authEvents = unbanned.authEventsFor(CAROL.id)
    const fresh = {
      prev_events: [unbanned.tip.eventId],
      auth_events: authEvents,
      depth: Number(unbanned.tip.pdu.depth) + 1,
    }
    expect(await send(stale)).toMatchObject(FORBIDDEN)
    expect(await send(knock(CAROL, fresh))).toMatchObject({ ok: true })
  })

  it('bounds the depth by the deepest branch', async () => {
    const send = await withBranches({ depth: 3 }, { depth: 10 }, { depth: 7 })
    expect(await send({ depth: 12 })).toMatchObject({
      status: 400,
      errcode: 'M_INVALID_PARAM',
      rule: 'depth of the event',
    })
    expect(await send({ depth: Number.MAX_SAFE_INTEGER })).toMatchObject({ status: 400 })
    expect(await send({ depth: 11 })).toMatchObject({ ok: true })
  })

  it('lets a smaller depth be', async () => {
    const send = await withBranches({ depth: 10 })
    expect(await send({ depth: 0 })).toMatchObject({ ok: true })
  })
})

describe('the auth events of a knock', () => {
  it('F3 must be known, and in order by themselves', async () => {
    const { send, knock, room } = await stage()
    const [create = '', power = '', rules = ''] = room.authEventsFor(CAROL.id)
    const cases: readonly (readonly [readonly string[], string])[] = [
      [[create, power, rules, `$${'u'.repeat(43)}`], 'auth v10 2.3'],
      [[create, power, rules, rules], 'auth v10 2.1'],
      [[create, power, rules, room.state('m.room.member', ALICE.id)?.eventId ?? ''], 'auth v10 2.2'],
      [[power, rules], 'auth v10 2.4'],
      [[create, power], 'auth v10 4.7.1'],
      [[], 'auth v10 2.4'],
    ]
    for (const [authEvents, rule] of cases) {
      expect(await send(knock(CAROL, { auth_events: authEvents }))).toMatchObject({ ...FORBIDDEN, rule })
    }
    expect(await send(knock(CAROL, { auth_events: [rules, create] }))).toMatchObject({ ok: true })
  })

  it('F7 are asked although current state and state before would allow', async () => {
    const story = [invites(ALICE, CAROL), joins(CAROL), kicks(ALICE, CAROL)]
    const { send, knock, room } = await stage(usualRoom('10', story))
    const joined = room.timeline.find(
      ({ pdu }) => (pdu.content as OracleObject).membership === 'join' && pdu.sender === CAROL.id,
    )
    const base = room.authEventsFor('@nobody:remote.test')
    expect(await send(knock(CAROL, { auth_events: [...base, joined?.eventId ?? ''] }))).toMatchObject({
      ...FORBIDDEN,
      rule: 'auth v10 4.7.4',
    })
    expect(await send(knock(CAROL))).toMatchObject({ ok: true })
  })

  it('F3 with an older join rule are refused by that rule', async () => {
    const { send, knock, room } = await stage()
    const old = room.timeline.find(({ pdu }) => (pdu.content as OracleObject).join_rule === 'public')?.eventId ?? ''
    const [create = '', power = ''] = room.authEventsFor(CAROL.id)
    expect(await send(knock(CAROL, { auth_events: [create, power, old] }))).toMatchObject({ rule: 'auth v10 4.7.1' })
  })
})
