import { describe, expect, it } from 'vitest'
import { createKnockLimits } from '../../src/knock/limits.ts'
import type {
  Handover,
  HandoverOutcome,
  KnockToHandOver,
  OriginalRequest,
  RoomFreshness,
  RoomQuestion,
} from '../../src/knock/ports/homeserver.ts'
import type { CommitOutcome, KnockCommit } from '../../src/knock/ports/rooms.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import { refusal } from '../../src/matrix/refusal.ts'
import { finishEvent, KNOCKABLE_VERSIONS, signAsItIs } from '../support/events.ts'
import { knockDraft } from '../support/remote-knocker.ts'
import { canonical, type JsonRecord } from '../support/signing.ts'
import { bans, continueRoom, joinRule, sets, type TestRoom, withEvent } from '../support/test-room.ts'
import { ALICE, BOB, CAROL, importRoom, NOW, REMOTE, type Stage, type StageOptions, stage, usualRoom } from './stage.ts'

const AGE_MS = 1_234
const FRESH: RoomFreshness = { kind: 'fresh', ageMs: AGE_MS }
const ACCEPTED: HandoverOutcome = { kind: 'accepted' }

interface Play extends Stage {
  readonly handed: readonly KnockToHandOver[]
  /** The deadlines by which the room was to be fresh. */
  readonly refreshed: readonly number[]
  /** The servers on whose behalf it was to be. */
  readonly origins: readonly string[]
  /** Times before which nothing was to be read. */
  readonly anew: readonly number[]
  freshness: RoomFreshness
  outcome: HandoverOutcome
  /** Called while a knock is handed over. */
  meanwhile: () => Promise<void>
}

async function beside(
  room = usualRoom(),
  options: StageOptions & { readonly homeserverDelivers?: boolean } = {},
): Promise<Play> {
  const handed: KnockToHandOver[] = []
  const refreshed: number[] = []
  const origins: string[] = []
  const anew: number[] = []
  const handover: Handover = {
    homeserverDelivers: options.homeserverDelivers ?? false,
    async handOver(knock) {
      handed.push(knock)
      await play.meanwhile()
      return play.outcome
    },
  }
  const supply = {
    async refresh(_room: unknown, { origin, deadline, notBefore }: RoomQuestion) {
      origins.push(origin)
      refreshed.push(deadline)
      if (notBefore !== undefined) anew.push(notBefore)
      return play.freshness
    },
  }
  const set = await stage(room, { ...options, homeserver: { supply, handover, templates: undefined } })
  const play: Play = {
    ...{ ...set, handed, refreshed, origins, anew, freshness: FRESH, outcome: ACCEPTED },
    meanwhile: async () => undefined,
  }
  return play
}

function withBan(room: TestRoom): TestRoom {
  return continueRoom(room, [bans(ALICE, CAROL)])
}

const outOfOrder = {
  ok: false,
  status: 504,
  errcode: 'M_UNKNOWN',
  error: 'The homeserver does not answer in time, try again',
}
const notAvailable = {
  ok: false,
  status: 404,
  errcode: 'M_NOT_FOUND',
  error: 'The state of the room is not available now, try again',
}

describe('a room that a homeserver has', () => {
  it('is brought up to date by the deadline of the request before anything is decided', async () => {
    const { make, send, knock, refreshed } = await beside()
    await make(CAROL, { deadline: NOW + 1_000 })
    await send(knock(CAROL), { deadline: NOW + 2_000 })
    expect(refreshed).toEqual([NOW + 1_000, NOW + 2_000])
  })

  it('H5 is 404 on both endpoints where the homeserver has it no more, whatever the store knows', async () => {
    const play = await beside()
    play.freshness = { kind: 'absent' }
    const unknown = { ok: false, status: 404, errcode: 'M_NOT_FOUND' }
    expect(await play.make(CAROL)).toMatchObject(unknown)
    expect(await play.send(play.knock(CAROL))).toMatchObject(unknown)
    expect(play.handed).toEqual([])
  })

  it.each([
    ['404 where nothing can be said of it', 'unavailable', notAvailable],
    ['504 where the homeserver does not answer at all', 'out of order', outOfOrder],
  ] as const)('is %s, and the reason is for the operator alone', async (_what, kind, expected) => {
    const play = await beside()
    play.freshness = { kind, reason: 'make_leave answers 502' }
    for (const answer of [await play.make(CAROL), await play.send(play.knock(CAROL))]) {
      expect(answer).toMatchObject({
        ...expected,
        rule: 'homeserver: state of the room',
        detail: 'make_leave answers 502',
      })
    }
    expect(play.handed).toEqual([])
    expect(await play.decisions()).toMatchObject([{ status: expected.status }, { status: expected.status }])
  })

  it('is asked for on behalf of the server that asks', async () => {
    const { make, send, knock, origins } = await beside()
    await make(CAROL)
    await send(knock(CAROL))
    expect(origins).toEqual(['remote.test', 'remote.test'])
  })

  it('is refused by the rules without a word to the homeserver, with the age of what decided', async () => {
    const play = await beside(usualRoom('10', [bans(ALICE, CAROL)]))
    expect(await play.make(CAROL)).toMatchObject({ status: 403 })
    expect(await play.send(play.knock(CAROL))).toMatchObject({ status: 403 })
    expect(play.handed).toEqual([])
    const facts = { ageMs: AGE_MS, membership: 'ban', joinRule: 'knock' }
    expect(await play.decisions()).toMatchObject([{ facts }, { facts }])
  })

  it('is refused to servers that its ACL denies, in every mode', async () => {
    const acl = sets(ALICE, 'm.room.server_acl', { allow: ['*'], deny: ['remote.test'] })
    for (const homeserverDelivers of [true, false]) {
      const play = await beside(usualRoom('10', [acl]), { homeserverDelivers })
      expect(await play.send(play.knock(CAROL))).toMatchObject({ status: 403, rule: 'server ACL' })
      expect(play.handed).toEqual([])
    }
  })
})

describe('handing a knock over', () => {
  it.each(KNOCKABLE_VERSIONS)('gives it as it was judged, with the request as it came, version %s', async (version) => {
    const play = await beside(usualRoom(version))
    const event = play.knock(CAROL)
    const original: OriginalRequest = { method: 'PUT', uri: '/raw', authorization: ['a', 'b'], body: Buffer.from('{}') }
    expect(await play.send({ ...event, pdu: { ...event.pdu, unsigned: { age: 7 } } }, { original })).toMatchObject({
      ok: true,
    })
    const judged = { ...event, json: canonical(event.pdu).toString() }
    expect(play.handed).toEqual([
      { roomId: play.room.roomId, event: judged, original, deadline: NOW + 20_000, isRefusedNow: expect.any(Function) },
    ])
  })

  it('records an accepted knock once, with the age of what it rested on, and delivers it', async () => {
    const play = await beside()
    const event = play.knock(CAROL)
    const answer = await play.send(event)
    expect(answer).toMatchObject({ ok: true, body: expect.stringContaining('knock_room_state') })
    expect(await play.decisions()).toMatchObject([
      { outcome: 'accepted', status: 200, eventId: event.eventId, facts: { ageMs: AGE_MS } },
    ])
    expect(await play.membership(CAROL)).toBe('knock')
    expect(await play.delivered()).toMatchObject([{ eventId: event.eventId }])
  })

  it('leaves delivery to a homeserver that delivers', async () => {
    const play = await beside(usualRoom(), { homeserverDelivers: true })
    expect(await play.send(play.knock(CAROL))).toMatchObject({ ok: true })
    expect(await play.membership(CAROL)).toBe('knock')
    expect(await play.delivered()).toEqual([])
  })

  it('F10 answers the same again for the same event, and hands it over once', async () => {
    const play = await beside()
    const event = play.knock(CAROL)
    const first = await play.send(event)
    expect(await play.send(event)).toEqual(first)
    expect(play.handed).toHaveLength(1)
    expect(await play.delivered()).toHaveLength(1)
    expect(await play.decisions()).toHaveLength(1)
  })

  it('F10 records the same event once where it comes twice at a time', async () => {
    const play = await beside()
    const event = play.knock(CAROL)
    const [first, second] = await Promise.all([play.send(event), play.send(event)])
    expect(first).toMatchObject({ ok: true })
    expect(second).toEqual(first)
    expect(await play.delivered()).toHaveLength(1)
    expect(await play.decisions()).toHaveLength(1)
  })

  it('passes a refusal on, and records it and nothing else', async () => {
    const play = await beside()
    const refused = {
      ...refusal('M_INVALID_PARAM', 'Event has been soft failed', 'handover: the homeserver'),
      status: 400,
    }
    play.outcome = { kind: 'refused', refusal: refused }
    expect(await play.send(play.knock(CAROL))).toEqual(refused)
    expect(await play.decisions()).toMatchObject([
      { outcome: 'refused', status: 400, rule: 'handover: the homeserver', facts: { ageMs: AGE_MS } },
    ])
    expect(await play.membership(CAROL)).toBeUndefined()
    expect(await play.delivered()).toEqual([])
  })

  it('is 504 where the homeserver does not answer at all, and settled when the remote tries again', async () => {
    const play = await beside()
    const event = play.knock(CAROL)
    play.outcome = { kind: 'out of order', reason: 'send: ECONNREFUSED' }
    expect(await play.send(event)).toMatchObject({ ...outOfOrder, rule: 'homeserver: taking the knock' })
    play.outcome = ACCEPTED
    expect(await play.send(event)).toMatchObject({ ok: true })
    expect(await play.delivered()).toHaveLength(1)
  })

  it('is 404 where the outcome is not known, and settled when the remote tries again', async () => {
    const play = await beside()
    const event = play.knock(CAROL)
    play.outcome = { kind: 'unknown', reason: 'send: no answer in time' }
    expect(await play.send(event)).toMatchObject({
      ...{ ok: false, status: 404, errcode: 'M_NOT_FOUND' },
      error: 'It is not known whether the knock has come into the room, try again',
      rule: 'homeserver: taking the knock',
      detail: 'send: no answer in time',
    })
    expect(await play.membership(CAROL)).toBeUndefined()
    expect(await play.delivered()).toEqual([])
    play.outcome = ACCEPTED
    expect(await play.send(event)).toMatchObject({ ok: true })
    expect(play.handed.map(({ event: { eventId } }) => eventId)).toEqual([event.eventId, event.eventId])
    expect(await play.delivered()).toHaveLength(1)
  })

  it('is decided anew where the homeserver has not shown it and the room has changed', async () => {
    const play = await beside()
    play.outcome = { kind: 'overtaken' }
    play.meanwhile = () => importRoom(play.store, withBan(play.room))
    expect(await play.send(play.knock(CAROL))).toMatchObject({ status: 403, errcode: 'M_FORBIDDEN' })
    expect(play.handed).toHaveLength(1)
    expect(await play.decisions()).toMatchObject([{ status: 403, facts: { membership: 'ban' } }])
  })

  it('lets the homeserver ask whether the room refuses it by now, which is read anew for that', async () => {
    const play = await beside()
    const told: boolean[] = []
    play.meanwhile = async () => {
      const ask = async () => told.push((await play.handed.at(-1)?.isRefusedNow()) as boolean)
      await ask()
      play.freshness = { kind: 'unavailable', reason: 'make_leave answers 500' }
      await ask()
      play.freshness = { kind: 'out of order', reason: 'make_leave: ECONNREFUSED' }
      await ask()
      play.freshness = { kind: 'absent' }
      await ask()
      play.freshness = FRESH
      await importRoom(play.store, withBan(play.room))
      await ask()
    }
    await play.send(play.knock(CAROL))
    expect(told).toEqual([false, false, false, true, true])
    expect(play.anew).toEqual([NOW, NOW, NOW, NOW, NOW])
  })

  it('tells the homeserver that it is not refused once it is in the room', async () => {
    const play = await beside()
    const event = play.knock(CAROL)
    play.meanwhile = async () => {
      const room = withEvent(play.room, event)
      await importRoom(play.store, continueRoom(room, [bans(ALICE, CAROL)]))
      expect(await play.handed.at(-1)?.isRefusedNow()).toBe(false)
    }
    await play.send(event)
    expect(play.handed).toHaveLength(1)
  })

  it('records a knock that the homeserver took, though the room changed while it did', async () => {
    const play = await beside()
    play.meanwhile = () =>
      importRoom(play.store, { ...usualRoom('10', [joinRule(ALICE, 'invite')]), roomId: play.room.roomId })
    expect(await play.send(play.knock(CAROL))).toMatchObject({ ok: true })
    expect(play.handed).toHaveLength(1)
    expect(await play.decisions()).toMatchObject([{ outcome: 'accepted', status: 200 }])
    expect(await play.delivered()).toHaveLength(1)
  })

  it('records a knock that was read back with its room before it could be recorded', async () => {
    const play = await beside()
    const event = play.knock(CAROL)
    play.meanwhile = () => importRoom(play.store, withEvent(play.room, event))
    expect(await play.send(event)).toMatchObject({ ok: true })
    expect(play.handed).toHaveLength(1)
    expect(await play.decisions()).toMatchObject([{ outcome: 'accepted', eventId: event.eventId }])
    expect(await play.delivered()).toHaveLength(1)
    expect(await play.send(event)).toMatchObject({ ok: true })
    expect(play.handed).toHaveLength(1)
  })

  it('settles a knock of unknown outcome that was read back with its room since', async () => {
    const play = await beside()
    const event = play.knock(CAROL)
    play.outcome = { kind: 'unknown', reason: 'late' }
    expect(await play.send(event)).toMatchObject({ status: 404 })
    await importRoom(play.store, withEvent(play.room, event))
    play.outcome = ACCEPTED
    expect(await play.send(event)).toMatchObject({ ok: true })
    expect(await play.delivered()).toHaveLength(1)
  })

  it('is 500 where it cannot be recorded, and recorded when the remote tries again', async () => {
    const outcomes: CommitOutcome[] = [{ kind: 'failed', reason: 'disk full' }]
    const commits: KnockCommit[] = []
    const wrap = (store: Store): Store => ({
      ...store,
      async commitKnock(commit) {
        commits.push(commit)
        return outcomes.shift() ?? store.commitKnock(commit)
      },
    })
    const play = await beside(usualRoom(), { wrap })
    const event = play.knock(CAROL)
    expect(await play.send(event)).toMatchObject({ status: 500, errcode: 'M_UNKNOWN' })
    expect(await play.send(event)).toMatchObject({ ok: true })
    expect(play.handed).toHaveLength(2)
    expect(commits).toMatchObject([{ expect: 'in the room' }, { expect: 'in the room' }])
    expect(await play.delivered()).toHaveLength(1)
  })

  const dropped: readonly (readonly [string, JsonRecord, JsonRecord?])[] = [
    ['hashes with other than texts', { hashes: { sha256: '', sha512: 1 } }],
    ['hashes with null', { hashes: { sha256: '', md5: null } }],
    ['a negative time', { origin_server_ts: -1 }],
    ['redacts that is no text', { redacts: {} }],
    ['a sticky duration that is no number', { sticky: { duration_ms: 'long' } }],
    ['an unstable sticky duration that is none', { msc4354_sticky: [] }],
    ['a key of the homeserver', { _room_version: '10' }],
    ['another spelling of a key', { Sender: '@bob:there.test' }],
    ['another spelling by a long s', { ſender: '@bob:there.test' }],
    ['another spelling by the sign for Kelvin', { 'state_\u212Aey': '@bob:there.test' }],
    ['another membership in another spelling', {}, { memberſhip: 'join' }],
    ['an invite by a third party that is none', {}, { third_party_invite: 'x' }],
    ['an invite by a third party with a wrong name', {}, { third_party_invite: { display_name: 1 } }],
    [
      'an invite by a third party with wrong signatures',
      {},
      { third_party_invite: { signed: { signatures: { a: 'x' } } } },
    ],
    ['a mapping of user ids that is none', {}, { mxid_mapping: [] }],
    ['an object that means a number', {}, { more: [{ '$serde_json::private::Number': '1' }] }],
    ['room state in unsigned that is no list', { unsigned: { knock_room_state: 'x' } }],
  ]
  it.each(dropped.map(([what, changes, content = {}]) => [what, changes, content] as const))(
    'refuses what a homeserver would drop, and leaves no attempt: %s',
    async (_, changes, content) => {
      const play = await beside()
      const draft = {
        ...knockDraft(play.room, CAROL, { origin_server_ts: NOW }),
        content: { membership: 'knock', ...content },
      }
      const right = finishEvent({ ...draft, ...changes }, '10').pdu.hashes as JsonRecord
      const hashes = { ...(changes.hashes as JsonRecord | undefined), ...right }
      const event = signAsItIs({ ...draft, ...changes, hashes }, '10', REMOTE)
      expect(await play.send(event)).toMatchObject({
        status: 400,
        errcode: 'M_BAD_JSON',
        rule: 'event format: what homeservers read',
      })
      expect(play.handed).toEqual([])
      expect(await play.store.listAttempts(10)).toEqual([])
    },
  )

  it('hands over what homeservers can read, odd as it may be', async () => {
    const odd: readonly (readonly [JsonRecord, JsonRecord?])[] = [
      [{ origin: 'remote.test', prev_state: [], redacts: '$x', sticky: { duration_ms: 1 }, msc4354_sticky: null }],
      [
        {
          depth: 0,
          origin_server_ts: 0,
          more: { _x: -1 },
          unsigned: { age: 'x', knock_room_state: [], prev_content: 5 },
        },
      ],
      [
        {},
        { displayname: 1, avatar_url: [], reason: { a: null }, is_direct: 'x', DisplayName: 'x', '\u0000': '\u0000' },
      ],
      [{}, { third_party_invite: { signed: {} }, mxid_mapping: null }],
      [{}, { reason: '"$serde_json::private::Number":', Number: { 'serde_json::private::Number': 1 } }],
    ]
    for (const [changes, content = {}] of odd) {
      const play = await beside()
      const event = play.knock(CAROL, { ...changes, content: { membership: 'knock', ...content } })
      expect(await play.send(event), JSON.stringify([changes, content])).toMatchObject({ ok: true })
      expect(play.handed).toHaveLength(1)
    }
  })

  it('refuses an authorising user that is no text where no rule asks for one', async () => {
    const play = await beside(usualRoom('7'))
    const event = play.knock(CAROL, { content: { membership: 'knock', join_authorised_via_users_server: 1 } })
    expect(await play.send(event)).toMatchObject({ status: 400, rule: 'event format: what homeservers read' })
    expect(play.handed).toEqual([])
  })

  it('hands over no signature that cannot be read, and the others without padding', async () => {
    const play = await beside()
    const { eventId, pdu } = play.knock(CAROL)
    const [[keyId, signature] = ['', '']] = Object.entries(
      (pdu.signatures as Record<string, JsonRecord>)['remote.test'] ?? {},
    )
    const others = { 'else.test': { 'ed25519:1': 'no base64!' }, 'more.test': { 'ed25519:1': 'AAA=', 'rsa:1': 'x' } }
    const signatures = { 'remote.test': { [keyId]: `${signature}==`, 'ed25519:old': 'x' }, ...others }
    expect(await play.send({ eventId, pdu: { ...pdu, signatures } })).toMatchObject({ ok: true })
    expect(play.handed[0]?.event.pdu.signatures).toEqual({
      'remote.test': { [keyId]: signature },
      'more.test': { 'ed25519:1': 'AAA' },
    })
  })

  it('counts knocks that were accepted, and no others', async () => {
    const limits = createKnockLimits({ perUser: { knocks: 1, perSeconds: 60 } }, () => NOW)
    const play = await beside(usualRoom(), { limits })
    play.outcome = { kind: 'unknown', reason: 'late' }
    expect(await play.send(play.knock(CAROL))).toMatchObject({ status: 404 })
    play.outcome = { kind: 'refused', refusal: refusal('M_FORBIDDEN', 'no', 'handover: send') }
    expect(await play.send(play.knock(CAROL))).toMatchObject({ status: 403, rule: 'handover: send' })
    play.outcome = ACCEPTED
    expect(await play.send(play.knock(CAROL))).toMatchObject({ ok: true })
    const again = play.knock(CAROL, { origin_server_ts: NOW + 1 })
    expect(await play.send(again)).toMatchObject({ status: 403, rule: 'limits.per_user' })
    expect(play.handed).toHaveLength(3)
  })

  it('G4 leaves the policy server to a homeserver that delivers, and refuses its rooms else', async () => {
    const keys = { via: 'there.test', public_keys: { ed25519: 'x' } }
    const room = usualRoom('10', [sets(ALICE, 'm.room.policy', keys)])
    expect(room.state('m.room.member', BOB.id)).toBeDefined()
    const forwarding = await beside(room, { homeserverDelivers: true })
    expect(await forwarding.make(CAROL)).toMatchObject({ ok: true })
    expect(await forwarding.send(forwarding.knock(CAROL))).toMatchObject({ ok: true })
    const injecting = await beside(room)
    for (const answer of [await injecting.make(CAROL), await injecting.send(injecting.knock(CAROL))]) {
      expect(answer).toMatchObject({ status: 403, rule: 'policy servers' })
    }
    expect(injecting.handed).toEqual([])
  })
})
