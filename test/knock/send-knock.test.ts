import { describe, expect, it } from 'vitest'
import { createKnockLimits } from '../../src/knock/limits.ts'
import type { RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import {
  contentHashOf,
  finishEvent,
  KNOCKABLE_VERSIONS,
  redacted,
  type SignedEvent,
  signAsItIs,
} from '../support/events.ts'
import { knockDraft } from '../support/remote-knocker.ts'
import { createIdentity, type JsonRecord, omit } from '../support/signing.ts'
import { bans, invites, joinRule, joins, type Line, leaves, sets } from '../support/test-room.ts'
import { ALICE, BOB, CAROL, HERE, NOW, REMOTE, stage, THERE, usualRoom } from './stage.ts'

const INVALID = { status: 400, errcode: 'M_INVALID_PARAM' }
const FORBIDDEN = { status: 403, errcode: 'M_FORBIDDEN' }

describe.each(KNOCKABLE_VERSIONS)('send_knock in version %s', (version) => {
  it('G1 G2 records the knock and shows the room', async () => {
    const encryption = sets(ALICE, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })
    const { send, knock, membership, decisions, delivered, room } = await stage(usualRoom(version, [encryption]))
    const event = knock(CAROL)
    const answer = await send(event)
    if (!answer.ok) throw new Error(answer.error)
    const shown = (JSON.parse(answer.body) as { knock_room_state: readonly JsonRecord[] }).knock_room_state
    expect(shown).toEqual(
      ['m.room.create', 'm.room.join_rules', 'm.room.encryption'].map((type) => room.state(type)?.pdu),
    )
    expect(await membership(CAROL)).toBe('knock')
    expect(await decisions()).toEqual([
      expect.objectContaining({
        time: NOW,
        endpoint: 'send_knock',
        eventId: event.eventId,
        outcome: 'accepted',
        status: 200,
        errcode: undefined,
        rule: `auth v${version} ${version === '7' ? '4.6.3' : version === '12' ? '5.7.3' : '4.7.3'}`,
        facts: expect.objectContaining({ roomVersion: version, joinRule: 'knock', membership: undefined }),
      }),
    ])
    expect(await delivered()).toEqual([{ eventId: event.eventId, pdu: event.pdu }])
  })

  it('F6 goes on with the redacted copy where the content hash is wrong', async () => {
    const { send, store, membership, delivered, room } = await stage(usualRoom(version))
    const draft = knockDraft(room, CAROL, { origin_server_ts: NOW })
    const event = signAsItIs({ ...draft, hashes: { sha256: contentHashOf(draft) } }, version, REMOTE)
    const altered = { ...event.pdu, content: { membership: 'knock', reason: 'altered' } }
    expect(await send({ eventId: event.eventId, pdu: altered })).toMatchObject({ ok: true })
    expect(await membership(CAROL)).toBe('knock')
    const [kept] = await delivered()
    expect(kept?.eventId).toBe(event.eventId)
    expect(JSON.parse(JSON.stringify(kept?.pdu.content))).toEqual({ membership: 'knock' })
    const stored = (await store.readRoom(room.roomId as RoomId, CAROL.id as UserId))?.member
    expect(stored?.eventId).toBe(event.eventId)
    expect(JSON.parse(JSON.stringify(stored?.pdu))).toEqual(redacted(altered, version))
  })

  it("F9 asks for the authorising server's signature from version 8 on", async () => {
    const { send, room, asked } = await stage(usualRoom(version))
    const content = { membership: 'knock', join_authorised_via_users_server: ALICE.id }
    const draft = knockDraft(room, CAROL, { origin_server_ts: NOW, content })
    if (version === '7') {
      expect(await send(finishEvent(draft, version, REMOTE, HERE))).toMatchObject({ ok: true })
      expect(asked.map(({ server }) => server)).toEqual(['remote.test'])
      return
    }
    const unsigned = await send(finishEvent(draft, version, REMOTE))
    expect(unsigned).toMatchObject({ ...FORBIDDEN, rule: `auth v${version} ${version === '12' ? '5.2' : '4.2'}` })
    expect(await send(finishEvent(draft, version, REMOTE, HERE))).toMatchObject({ ok: true })
  })

  it('F9 F6 asks nothing for an authorising user that redaction has removed, as it does in version 8', async () => {
    const { send, room, delivered } = await stage(usualRoom(version))
    const content = { membership: 'knock', join_authorised_via_users_server: ALICE.id }
    const event = finishEvent(knockDraft(room, CAROL, { origin_server_ts: NOW, content }), version, REMOTE)
    const pdu = { ...event.pdu, content: { ...content, reason: 'added' } }
    const answer = await send({ ...event, pdu })
    if (version === '7' || version === '8') {
      expect(answer).toMatchObject({ ok: true })
      expect(JSON.parse(JSON.stringify((await delivered())[0]?.pdu.content))).toEqual({ membership: 'knock' })
    } else expect(answer).toMatchObject(FORBIDDEN)
  })

  it('F7 refuses where the current state bans a user whose auth events do not say so', async () => {
    const { send, knock, room } = await stage(usualRoom(version, [bans(ALICE, CAROL)]))
    const authEvents = room.authEventsFor('@nobody:remote.test')
    expect(await send(knock(CAROL, { auth_events: authEvents }))).toMatchObject(FORBIDDEN)
  })
})

describe('send_knock: the event itself', () => {
  const cases: readonly (readonly [string, JsonRecord, string])[] = [
    ['another type', { type: 'm.room.message' }, 'send_knock: type m.room.member'],
    ['another membership', { content: { membership: 'join' } }, 'send_knock: membership knock'],
    ['no membership', { content: {} }, 'send_knock: membership knock'],
    ['another state_key', { state_key: BOB.id }, 'send_knock: state_key = sender'],
    ['another room', { room_id: '!other:here.test' }, 'send_knock: room id of the path'],
    ['a sender of another server', { sender: BOB.id, state_key: BOB.id }, 'send_knock: sender of the origin'],
  ]
  it.each(cases)('F1 F11 refuses %s', async (_what, changes, rule) => {
    const { send, knock, decisions } = await stage()
    expect(await send(knock(CAROL, changes), { origin: 'remote.test' as ServerName })).toMatchObject({
      ...INVALID,
      rule,
    })
    expect(await decisions()).toMatchObject([{ outcome: 'refused', status: 400, errcode: 'M_INVALID_PARAM', rule }])
  })

  it('F1 refuses an event without state_key', async () => {
    const { send, room } = await stage()
    const draft = omit(knockDraft(room, CAROL, { origin_server_ts: NOW }), 'state_key')
    expect(await send(finishEvent(draft, '10', REMOTE))).toMatchObject({
      ...INVALID,
      rule: 'send_knock: state_key = sender',
    })
  })

  it('F2 asks for the shape before any rule of the room', async () => {
    const { send, knock } = await stage(usualRoom('10', [joins(CAROL)]))
    expect(await send(knock(CAROL, { content: { membership: 'leave' } }))).toMatchObject(INVALID)
    expect(await send(knock(CAROL))).toMatchObject(FORBIDDEN)
  })

  const noKnocks: readonly (readonly [string, JsonRecord])[] = [
    ['a message', { type: 'm.room.message', content: { body: 'hi', msgtype: 'm.text' } }],
    ['a member event that is no state', { content: { membership: 'knock' } }],
    ['a join', { state_key: CAROL.id, content: { membership: 'join' } }],
    ['a leave', { state_key: CAROL.id, content: { membership: 'leave' } }],
    ['an invite', { state_key: CAROL.id, content: { membership: 'invite' } }],
    ['a knock for somebody else', { state_key: '@else:remote.test', content: { membership: 'knock' } }],
  ]
  const underBothRules = ['knock', 'knock_restricted'].flatMap((rule) => {
    return noKnocks.map(([what, changes]) => [rule, what, changes] as const)
  })
  it.each(underBothRules)('F2 under the join rule %s, %s of a joined user is 400', async (rule, _what, changes) => {
    const { send, room } = await stage(usualRoom('10', [joins(CAROL), joinRule(ALICE, rule)]))
    const stateless = omit(knockDraft(room, CAROL, { origin_server_ts: NOW }), 'state_key')
    expect(await send(finishEvent({ ...stateless, ...changes }, '10', REMOTE))).toMatchObject(INVALID)
  })

  it('F11 refuses an event id that is not that of the path', async () => {
    const { send, knock } = await stage()
    const { pdu } = knock(CAROL)
    expect(await send({ eventId: knock(CAROL, { depth: 3 }).eventId, pdu })).toMatchObject({
      ...INVALID,
      rule: 'send_knock: event id of the path',
    })
  })

  it.each([
    ['no user id', { sender: 'carol:remote.test', state_key: 'carol:remote.test' }],
    ['not text', { sender: 1 }],
  ])('refuses a sender that is %s, and keeps no decision about it', async (_what, changes) => {
    const { send, knock, decisions } = await stage()
    const origin = 'remote.test' as ServerName
    expect(await send(knock(CAROL, changes), { origin })).toMatchObject({ status: 400, errcode: 'M_BAD_JSON' })
    expect(await decisions()).toEqual([])
  })

  it.each(['10', '11'] as const)(
    'version %s: third_party_invite is refused where redaction would keep it',
    async (version) => {
      const { send, knock } = await stage(usualRoom(version))
      const answer = await send(knock(CAROL, { content: { membership: 'knock', third_party_invite: { signed: {} } } }))
      expect(answer).toMatchObject(version === '11' ? INVALID : { ok: true })
    },
  )

  it('drops unsigned from what it keeps', async () => {
    const { send, knock, delivered } = await stage()
    const event = knock(CAROL)
    await send({ ...event, pdu: { ...event.pdu, unsigned: { age: 1 } } })
    expect((await delivered())[0]?.pdu).not.toHaveProperty('unsigned')
  })
})

describe('send_knock: signatures', () => {
  const signed = async (sign: (draft: JsonRecord) => SignedEvent, identities = [HERE, THERE, REMOTE]) => {
    const { send, room, asked } = await stage(usualRoom(), { identities })
    const answer = await send(sign(knockDraft(room, CAROL, { origin_server_ts: NOW - 5 })))
    return { answer, asked }
  }
  const second = createIdentity('remote.test', 'ed25519:second')
  const impostor = createIdentity('remote.test', REMOTE.keyId)

  it('F1 asks for the keys at the time of the event, within the deadline', async () => {
    const { answer, asked } = await signed((draft) => finishEvent(draft, '10', REMOTE))
    expect(answer).toMatchObject({ ok: true })
    expect(asked).toEqual([
      { server: 'remote.test', keyIds: [REMOTE.keyId], at: NOW - 5, use: 'event', deadline: NOW + 10_000 },
    ])
  })

  it.each([
    ['none', []],
    ['one of another server alone', [THERE]],
    ['a wrong one', [impostor]],
    ['one by a key that nobody knows', [second]],
  ] as const)('F1 refuses %s', async (_what, signers) => {
    const { answer } = await signed((draft) => finishEvent(draft, '10', ...signers))
    expect(answer).toMatchObject({ ...INVALID, rule: 'send_knock: signature' })
  })

  it('F1 refuses where the keys cannot be had', async () => {
    const { answer } = await signed((draft) => finishEvent(draft, '10', REMOTE), [HERE])
    expect(answer).toMatchObject(INVALID)
  })

  it('passes over a key that nobody knows, and refuses a wrong signature beside a good one', async () => {
    const unknown = await signed((draft) => finishEvent(draft, '10', REMOTE, second))
    expect(unknown.answer).toMatchObject({ ok: true })
    const other = createIdentity('remote.test', 'ed25519:second')
    const wrong = await signed((draft) => finishEvent(draft, '10', REMOTE, second), [HERE, REMOTE, other])
    expect(wrong.answer).toMatchObject(INVALID)
  })

  it('passes over other algorithms and names that are no key ids', async () => {
    const { answer, asked } = await signed((draft) => {
      const event = finishEvent(draft, '10', REMOTE)
      const theirs = {
        ...((event.pdu.signatures as JsonRecord)['remote.test'] as JsonRecord),
        'rsa:1': 'x',
        'ed25519:a-b': 'x',
      }
      return { ...event, pdu: { ...event.pdu, signatures: { 'remote.test': theirs } } }
    })
    expect(answer).toMatchObject({ ok: true })
    expect(asked[0]?.keyIds).toEqual([REMOTE.keyId])
  })

  it('looks at 16 signatures of a server and no more', async () => {
    const { asked } = await signed((draft) => {
      const event = finishEvent(draft, '10', REMOTE)
      const theirs = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`ed25519:k${at}`, 'x']))
      return { ...event, pdu: { ...event.pdu, signatures: { 'remote.test': theirs } } }
    })
    expect(asked[0]?.keyIds).toHaveLength(16)
  })

  it('F9 refuses an authorising user that is none, and one whose server cannot be asked', async () => {
    const { send, room } = await stage()
    for (const user of ['nobody', 1, '@host:elsewhere.test']) {
      const content = { membership: 'knock', join_authorised_via_users_server: user }
      const draft = knockDraft(room, CAROL, { origin_server_ts: NOW, content })
      expect(await send(finishEvent(draft, '10', REMOTE, HERE))).toMatchObject({ ...FORBIDDEN, rule: 'auth v10 4.2' })
    }
  })
})

describe('send_knock: the room', () => {
  it('is 404 where it is not known or not ours any more', async () => {
    const { send, knock, become, room } = await stage()
    expect(await send(knock(CAROL), { roomId: '!other:here.test' as RoomId })).toMatchObject({ status: 404 })
    await become({ ...usualRoom('10', [leaves(ALICE)]), roomId: room.roomId })
    expect(await send(knock(CAROL))).toMatchObject({ status: 404, rule: 'resident server' })
  })

  it('keeps denied servers and old versions out before looking at the event', async () => {
    const acl = sets(ALICE, 'm.room.server_acl', { allow: ['*'], deny: ['REMOTE.test'] })
    const denied = await stage(usualRoom('10', [acl]))
    expect(await denied.send(denied.knock(CAROL, { type: 'x' }))).toMatchObject({ ...FORBIDDEN, rule: 'server ACL' })
    const old = await stage(usualRoom('6'))
    expect(await old.send(old.knock(CAROL))).toMatchObject({ ...FORBIDDEN, rule: 'auth v6 knock' })
  })

  const lines: readonly (readonly [string, readonly Line[], string])[] = [
    ['banned', [bans(ALICE, CAROL)], 'auth v10 4.7.4'],
    ['invited', [invites(ALICE, CAROL)], 'auth v10 4.7.4'],
    ['joined', [joins(CAROL)], 'auth v10 4.7.4'],
    ['under another join rule', [joinRule(ALICE, 'invite')], 'auth v10 4.7.1'],
  ]
  it.each(lines)('F4 refuses a user who is %s', async (_what, more, rule) => {
    const { send, knock } = await stage(usualRoom('10', more))
    expect(await send(knock(CAROL))).toMatchObject({ ...FORBIDDEN, rule })
  })

  it('F4 allows a user who left', async () => {
    const { send, knock } = await stage(usualRoom('10', [joins(CAROL), leaves(CAROL)]))
    expect(await send(knock(CAROL))).toMatchObject({ ok: true })
  })

  it('G4 refuses where a policy server must sign', async () => {
    const policy = sets(ALICE, 'm.room.policy', { via: 'there.test', public_keys: { ed25519: 'k' } })
    const { send, knock, membership } = await stage(usualRoom('10', [policy]))
    expect(await send(knock(CAROL))).toMatchObject({ ...FORBIDDEN, rule: 'policy servers' })
    expect(await membership(CAROL)).toBeUndefined()
  })

  it("counts accepted knocks, and accepted ones alone, against the operator's limits", async () => {
    const limits = createKnockLimits({ perServer: { knocks: 1, perSeconds: 60 } }, () => NOW)
    const { send, knock } = await stage(usualRoom('10', [bans(ALICE, BOB)]), { limits })
    const dave = { id: '@dave:remote.test', server: REMOTE }
    expect(await send(knock(dave, { depth: 100_000 }))).toMatchObject(INVALID)
    expect(await send(knock(CAROL))).toMatchObject({ ok: true })
    expect(await send(knock(dave))).toMatchObject({ ...FORBIDDEN, rule: 'limits.per_server' })
  })
})
