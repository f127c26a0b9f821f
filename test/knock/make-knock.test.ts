import { describe, expect, it } from 'vitest'
import { createKnockLimits } from '../../src/knock/limits.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import type { RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { KNOCKABLE_VERSIONS } from '../support/events.ts'
import { bans, buildRoom, invites, joinRule, joins, kicks, leaves, sets } from '../support/test-room.ts'
import { ALICE, BOB, CAROL, NOW, stage, usualRoom } from './stage.ts'

describe.each(KNOCKABLE_VERSIONS)('make_knock in version %s', (version) => {
  it('E1 E3 E4 gives a template with exactly what a knock needs', async () => {
    const { make, room } = await stage(usualRoom(version))
    expect(await make(CAROL)).toEqual({
      ok: true,
      template: {
        room_version: version,
        event: {
          type: 'm.room.member',
          room_id: room.roomId,
          sender: CAROL.id,
          state_key: CAROL.id,
          content: { membership: 'knock' },
          origin: 'here.test',
          origin_server_ts: NOW,
          depth: Number(room.tip.pdu.depth) + 1,
          prev_events: [room.tip.eventId],
          auth_events: [
            ...(version === '12' ? [] : [room.state('m.room.create')?.eventId]),
            room.state('m.room.power_levels')?.eventId,
            room.state('m.room.join_rules')?.eventId,
          ],
        },
      },
    })
  })

  it("E1 names the knocker's earlier membership, and leaves out what the room has not", async () => {
    const room = buildRoom(version, ALICE, [
      joins(ALICE),
      joinRule(ALICE, 'public'),
      joins(CAROL),
      leaves(CAROL),
      joinRule(ALICE, 'knock'),
    ])
    const { make } = await stage(room)
    const answer = await make(CAROL)
    const expected = [room.state('m.room.join_rules')?.eventId, room.state('m.room.member', CAROL.id)?.eventId]
    expect(answer.ok && answer.template.event.auth_events).toEqual(
      version === '12' ? expected : [room.state('m.room.create')?.eventId, ...expected],
    )
  })
})

describe('make_knock', () => {
  it('E2 refuses a request without ver', async () => {
    const { make } = await stage()
    expect(await make(CAROL, { versions: [] })).toMatchObject({ status: 400, errcode: 'M_MISSING_PARAM' })
  })

  it.each(['m.room.create', 'm.room.server_acl', 'm.room.policy'])(
    'answers for no room of which %s turned out wrongly signed, and tells the operator why',
    async (type) => {
      const wrap = (store: Store): Store => ({
        ...store,
        async readFacts(roomId) {
          const record = await store.readFacts(roomId)
          return (
            record && {
              ...record,
              state: record.state.filter(({ pdu }) => pdu.type !== type),
              flaws: [{ type, reason: 'its signature is wrong' }],
            }
          )
        },
      })
      const { make, send, knock } = await stage(usualRoom('10', [sets(ALICE, 'm.room.server_acl', { allow: [] })]), {
        wrap,
      })
      const refused = {
        status: 404,
        errcode: 'M_NOT_FOUND',
        rule: 'state usable',
        detail: expect.stringContaining(type),
      }
      expect(await make(CAROL)).toMatchObject(refused)
      expect(await send(knock(CAROL))).toMatchObject(refused)
    },
  )

  it('leaves out what only describes the room where that turned out wrongly signed', async () => {
    const wrap = (store: Store): Store => ({
      ...store,
      async readFacts(roomId) {
        const record = await store.readFacts(roomId)
        return record && { ...record, flaws: [{ type: 'm.room.name', reason: 'its signature is wrong' }] }
      },
    })
    const { make } = await stage(usualRoom(), { wrap })
    expect(await make(CAROL)).toMatchObject({ ok: true })
  })

  it('E2 does not know other rooms', async () => {
    const { make, decisions } = await stage()
    expect(await make(CAROL, { roomId: '!other:here.test' as RoomId })).toMatchObject({
      status: 404,
      errcode: 'M_NOT_FOUND',
    })
    expect((await decisions())[0]).toMatchObject({ facts: { roomVersion: undefined, joinRule: undefined } })
  })

  it('E2 does not answer for a room that our server has left', async () => {
    const { make, become, room } = await stage()
    await become({ ...usualRoom('10', [leaves(ALICE)]), roomId: room.roomId })
    expect(await make(CAROL)).toMatchObject({ status: 404, errcode: 'M_NOT_FOUND', rule: 'resident server' })
  })

  it('E2 refuses a user of another server', async () => {
    const { make } = await stage()
    expect(await make(CAROL, { origin: 'there.test' as ServerName })).toMatchObject({
      status: 403,
      errcode: 'M_FORBIDDEN',
      rule: 'make_knock: user of the origin',
    })
  })

  it('E2 E5 compares versions as opaque names', async () => {
    const { make } = await stage()
    for (const versions of [['9'], ['010'], ['10.0'], ['1', '0'], ['11', '12']]) {
      expect(await make(CAROL, { versions })).toMatchObject({
        status: 400,
        errcode: 'M_INCOMPATIBLE_ROOM_VERSION',
        fields: { room_version: '10' },
      })
    }
    expect(await make(CAROL, { versions: ['9', 'org.example.x', '10'] })).toMatchObject({ ok: true })
  })

  it('E2 refuses rooms of versions without knocking, and of versions that it does not know', async () => {
    const old = await stage(usualRoom('6'))
    expect(await old.make(CAROL)).toMatchObject({ status: 403, rule: 'auth v6 knock' })
    const strange = await stage(usualRoom(), { versionName: 'org.example.x' })
    expect(await strange.make(CAROL, { versions: ['org.example.x'] })).toMatchObject({
      status: 400,
      errcode: 'M_UNSUPPORTED_ROOM_VERSION',
    })
  })

  it.each(['1', '2', '3', '4', '5', '6'])('E2 refuses rooms of version %s, in which nobody can knock', async (name) => {
    const { make } = await stage(usualRoom('6'), { versionName: name })
    expect(await make(CAROL, { versions: [name] })).toMatchObject({
      status: 403,
      errcode: 'M_FORBIDDEN',
      rule: `auth v${name} knock`,
    })
  })

  it('E2 asks in an order that tells a server nothing before it may know', async () => {
    const acl = sets(ALICE, 'm.room.server_acl', { allow: ['*'], deny: ['remote.test'] })
    const closed = joinRule(ALICE, 'invite')
    const guarded = await stage(usualRoom('10', [acl, closed]))
    const open = await stage(usualRoom('10', [closed]))
    const strange = await stage(usualRoom('10', [closed]), { versionName: 'org.example.x' })
    const wrongRoom = { roomId: '!other:here.test' as RoomId }
    const wrongUser = { userId: '@x:elsewhere.test' as UserId, versions: ['1'] }
    const answers = [
      await guarded.make(CAROL, { ...wrongRoom, ...wrongUser, versions: [] }),
      await guarded.make(CAROL, { ...wrongRoom, ...wrongUser }),
      await guarded.make(CAROL, wrongUser),
      await open.make(CAROL, wrongUser),
      await open.make(CAROL, { versions: ['1'] }),
      await strange.make(CAROL, { versions: ['org.example.x'] }),
      await open.make(CAROL),
    ]
    expect(answers.map((answer) => (answer.ok ? 'ok' : answer.errcode))).toEqual([
      'M_MISSING_PARAM',
      'M_NOT_FOUND',
      'M_FORBIDDEN',
      'M_FORBIDDEN',
      'M_INCOMPATIBLE_ROOM_VERSION',
      'M_UNSUPPORTED_ROOM_VERSION',
      'M_FORBIDDEN',
    ])
    expect([2, 3, 6].map((at) => (answers[at] as { rule?: string }).rule)).toEqual([
      'server ACL',
      'make_knock: user of the origin',
      'auth v10 4.7.1',
    ])
  })

  it('E6 tells a server that the ACL denies nothing more', async () => {
    const acl = sets(ALICE, 'm.room.server_acl', { allow: ['*'], deny: ['remote.test'] })
    const { make } = await stage(usualRoom('10', [acl]))
    for (const changes of [{}, { versions: ['1'] }, { userId: '@x:elsewhere.test' as UserId }]) {
      expect(await make(CAROL, changes)).toMatchObject({ status: 403, rule: 'server ACL' })
    }
    const other = await stage(usualRoom('10', [sets(ALICE, 'm.room.server_acl', { allow: ['*.test'] })]))
    expect(await other.make(CAROL)).toMatchObject({ ok: true })
  })

  it.each([
    ['banned', [bans(ALICE, CAROL)], 'auth v10 4.7.4', 'ban'],
    ['invited', [invites(ALICE, CAROL)], 'auth v10 4.7.4', 'invite'],
    ['joined', [joins(CAROL)], 'auth v10 4.7.4', 'join'],
  ] as const)(
    'E2 refuses a user who is %s, and keeps the decision with its facts',
    async (_what, lines, rule, membership) => {
      const { make, decisions } = await stage(usualRoom('10', lines))
      expect(await make(CAROL)).toMatchObject({ status: 403, errcode: 'M_FORBIDDEN', rule })
      expect(await decisions()).toEqual([
        expect.objectContaining({
          time: NOW,
          endpoint: 'make_knock',
          userId: CAROL.id,
          origin: 'remote.test',
          eventId: undefined,
          outcome: 'refused',
          status: 403,
          errcode: 'M_FORBIDDEN',
          rule,
          facts: { roomVersion: '10', revision: expect.any(Number), joinRule: 'knock', membership },
        }),
      ])
    },
  )

  it('E2 allows a user who was kicked', async () => {
    const { make } = await stage(usualRoom('10', [joins(CAROL), kicks(ALICE, CAROL)]))
    expect(await make(CAROL)).toMatchObject({ ok: true })
  })

  it.each(['public', 'invite', 'restricted'])('E2 refuses under the join rule %s', async (rule) => {
    const { make } = await stage(usualRoom('10', [joinRule(ALICE, rule)]))
    expect(await make(CAROL)).toMatchObject({ status: 403, rule: 'auth v10 4.7.1' })
  })

  const policyKey = { via: 'there.test', public_keys: { ed25519: 'k' } }
  it.each([
    ['with a joined user', policyKey, true],
    ['without a joined user', { ...policyKey, via: 'remote.test' }, false],
    ['without a key', { via: 'there.test', public_keys: {} }, false],
    ['with a key of another type', { via: 'there.test', public_keys: { ed25519: 1 } }, false],
    ['without public_keys', { via: 'there.test' }, false],
    ['whose via is no server name', { ...policyKey, via: 'no name' }, false],
    ['whose via is no string', { ...policyKey, via: 1 }, false],
  ])('G4 a policy server %s', async (_what, content, refused) => {
    const { make } = await stage(usualRoom('10', [sets(ALICE, 'm.room.policy', content)]))
    expect(await make(CAROL)).toMatchObject(refused ? { status: 403, rule: 'policy servers' } : { ok: true })
  })

  it("applies the operator's limits without counting", async () => {
    const limits = createKnockLimits({ perUser: { knocks: 1, perSeconds: 60 } }, () => NOW)
    const { make, send, knock } = await stage(usualRoom(), { limits })
    expect(await make(CAROL)).toMatchObject({ ok: true })
    expect(await make(CAROL)).toMatchObject({ ok: true })
    expect(await send(knock(CAROL))).toMatchObject({ ok: true })
    expect(await make(CAROL)).toMatchObject({ status: 403, rule: 'limits.per_user' })
  })

  it('E4 gives at most the greatest depth', async () => {
    const room = buildRoom('10', ALICE, [joins(ALICE), joinRule(ALICE, 'knock')], {
      depth: Number.MAX_SAFE_INTEGER - 2,
    })
    expect(room.tip.pdu.depth).toBe(Number.MAX_SAFE_INTEGER)
    const { make } = await stage(room)
    const answer = await make(CAROL)
    expect(answer.ok && answer.template.event.depth).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('E4 names every extremity, one deeper than the deepest', async () => {
    const { make, send, knock, room } = await stage()
    const depth = Number(room.tip.pdu.depth)
    const first = knock(CAROL)
    expect(await make(CAROL)).toMatchObject({
      template: { event: { depth: depth + 1, prev_events: [room.tip.eventId] } },
    })
    await send(first)
    expect(await make(CAROL)).toMatchObject({ template: { event: { depth: depth + 2, prev_events: [first.eventId] } } })
    const member = [...room.authEventsFor(CAROL.id), first.eventId]
    const second = knock(CAROL, { prev_events: [first.eventId], auth_events: member, depth: depth + 2 })
    expect(await send(second)).toMatchObject({ ok: true })
    const late = knock({ id: '@dave:there.test', server: BOB.server })
    expect(await send(late)).toMatchObject({ ok: true })
    const answer = await make({ id: '@eve:remote.test', server: CAROL.server })
    if (!answer.ok) throw new Error(answer.error)
    expect(answer.template.event.depth).toBe(depth + 3)
    expect(answer.template.event.prev_events).toEqual(expect.arrayContaining([second.eventId, late.eventId]))
    expect(answer.template.event.prev_events).toHaveLength(2)
  })

  it('refuses where no extremity is known', async () => {
    const wrap = (store: Store): Store => ({
      ...store,
      readExtremities: async () => ({ revision: 1, extremities: [] }),
    })
    const { make } = await stage(usualRoom(), { wrap })
    expect(await make(CAROL)).toMatchObject({ status: 404, rule: 'forward extremities known' })
  })

  it('sees a change of the room at once, and reads its facts once while nothing changes', async () => {
    let reads = 0
    const wrap = (store: Store): Store => ({
      ...store,
      readFacts: (roomId) => {
        reads += 1
        return store.readFacts(roomId)
      },
    })
    const { make, become, room } = await stage(usualRoom(), { wrap })
    for (let number = 0; number < 3; number++) expect(await make(CAROL)).toMatchObject({ ok: true })
    expect(reads).toBe(1)
    await become({ ...usualRoom('10', [joinRule(ALICE, 'invite')]), roomId: room.roomId })
    expect(await make(CAROL)).toMatchObject({ status: 403 })
    expect(reads).toBe(2)
  })
})
