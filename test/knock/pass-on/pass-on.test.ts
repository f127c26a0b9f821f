import { describe, expect, it } from 'vitest'
import { knocksPassedOn } from '../../../src/knock/knock-calls.ts'
import { type ConfiguredLimits, createKnockLimits } from '../../../src/knock/limits.ts'
import { createSeenVersions, TELLING_VERSIONS } from '../../../src/knock/pass-on/seen-versions.ts'
import type { OriginalRequest, UpstreamAnswer } from '../../../src/knock/ports/homeserver.ts'
import { nativeEd25519 } from '../../../src/matrix/ed25519.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../src/matrix/identifiers.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { refusal } from '../../../src/matrix/refusal.ts'
import { bare } from '../../matrix/given.ts'
import type { OracleObject } from '../../oracle/json-value.ts'
import { KNOCKABLE_VERSIONS, type SignedEvent, signAsItIs } from '../../support/events.ts'
import { createMemoryStore } from '../../support/memory-store/memory-store.ts'
import { knockDraft, knockEvent } from '../../support/remote-knocker.ts'
import { createIdentity, type JsonRecord } from '../../support/signing.ts'
import type { Person, TestRoom } from '../../support/test-room.ts'
import { ALICE, type Asked, CAROL, HERE, keyringOf, NOW, REMOTE, THERE, usualRoom } from '../stage.ts'

const ROOM_STATE: UpstreamAnswer = { kind: 'answered', body: { knock_room_state: [] } }

function passOn(limits: ConfiguredLimits = {}) {
  const store = createMemoryStore({ clock: () => NOW })
  const asked: Asked[] = []
  const passed: { readonly original: OriginalRequest; readonly deadline: number }[] = []
  const play = { answer: ROOM_STATE }
  const calls = knocksPassedOn({
    upstream: {
      async passOn(original, deadline) {
        passed.push({ original, deadline })
        return play.answer
      },
    },
    versions: createSeenVersions(),
    limits: createKnockLimits(limits, () => NOW),
    keyring: keyringOf([HERE, THERE, REMOTE], asked),
    ed25519: nativeEd25519,
    store,
    clock: () => NOW,
  })
  const origin = REMOTE.name as ServerName
  return {
    ...{ play, passed, asked },
    make({ roomId, version }: TestRoom, who: Person, versions: readonly string[] = [version]) {
      const original: OriginalRequest = { method: 'GET', uri: 'make', authorization: ['a'], body: undefined }
      const place = { roomId: roomId as RoomId, userId: who.id as UserId }
      return calls.makeKnock({ origin, ...place, versions, deadline: NOW + 20_000, original })
    },
    send({ roomId }: TestRoom, { eventId, pdu }: SignedEvent) {
      const original: OriginalRequest = { method: 'PUT', uri: 'send', authorization: ['b'], body: Buffer.from('c') }
      const place = { roomId: roomId as RoomId, eventId: eventId as EventId, body: bare(pdu as OracleObject) }
      return calls.sendKnock({ origin, ...place, keyDeadline: NOW + 10_000, deadline: NOW + 20_000, original })
    },
    decisions: () => store.listDecisions({ limit: 100 }),
  }
}

function template({ roomId, version }: TestRoom, { id }: Person, changes: JsonObject = {}): UpstreamAnswer {
  const event = { type: 'm.room.member', room_id: roomId, sender: id, state_key: id, content: { membership: 'knock' } }
  return { kind: 'answered', body: { room_version: version, event: { ...event, ...changes } } }
}

const knockOn = (room: TestRoom, changes: JsonRecord = {}) =>
  knockEvent(room, CAROL, { origin_server_ts: NOW, ...changes })

describe('a knock that is passed on', () => {
  it('goes to the homeserver as it came, by the deadline of the request, and its answer is ours', async () => {
    const room = usualRoom('11')
    const { play, passed, make, send, decisions } = passOn()
    play.answer = template(room, CAROL, { depth: 7 })
    expect(await make(room, CAROL)).toMatchObject({ ok: true, template: { room_version: '11', event: { depth: 7 } } })
    play.answer = { kind: 'answered', body: { knock_room_state: [1], more: 'x' } }
    expect(await send(room, knockOn(room))).toEqual({ ok: true, body: '{"knock_room_state":[1],"more":"x"}' })
    expect(passed).toEqual([
      { original: expect.objectContaining({ method: 'GET', uri: 'make' }), deadline: NOW + 20_000 },
      { original: expect.objectContaining({ method: 'PUT', uri: 'send' }), deadline: NOW + 20_000 },
    ])
    expect(await decisions()).toMatchObject([
      { outcome: 'accepted', status: 200, rule: 'handover: the homeserver', facts: { roomVersion: '11' } },
    ])
  })

  it('is asked of the keys of its sender alone, whoever else it names', async () => {
    const room = usualRoom('10')
    const { asked, send } = passOn()
    const content = { membership: 'knock', join_authorised_via_users_server: ALICE.id }
    expect(await send(room, knockOn(room, { content }))).toMatchObject({ ok: true })
    expect(asked.map(({ server, use, deadline }) => [server, use, deadline])).toEqual([
      [REMOTE.name, 'event', NOW + 10_000],
    ])
  })

  it.each(KNOCKABLE_VERSIONS)(
    'is known by its id in version %s, and in no other that names it otherwise',
    async (version) => {
      const room = usualRoom(version)
      const changes = { origin: 'x', content: { membership: 'knock', join_authorised_via_users_server: ALICE.id } }
      const knock = knockOn(room, changes)
      const { play, make, send, passed } = passOn()
      expect(await send(room, knock)).toMatchObject({ ok: true })
      const other = version === '11' || version === '12' ? '10' : '11'
      play.answer = template({ ...room, version: other }, CAROL)
      expect(await make({ ...room, version: other }, CAROL)).toMatchObject({ ok: true })
      play.answer = ROOM_STATE
      passed.splice(0)
      expect(await send(room, knock)).toMatchObject({ status: 400, rule: 'send_knock: event id of the path' })
      expect(passed).toEqual([])
    },
  )

  it('is looked at once for each way to redact and name an event', () => {
    expect(TELLING_VERSIONS.map(({ id }) => id)).toEqual(['7', '8', '9', '11'])
  })

  it('that nobody has signed, or somebody else, goes nowhere and is counted nowhere', async () => {
    const room = usualRoom('11')
    const { passed, send, decisions } = passOn({ perUser: { knocks: 1, perSeconds: 60 } })
    const good = knockOn(room)
    const unsigned = signAsItIs(good.pdu, '11')
    const stranger = { id: CAROL.id, server: createIdentity(REMOTE.name) }
    const wrong = [
      { ...unsigned, pdu: { ...unsigned.pdu, signatures: {} } },
      knockEvent(room, stranger, { origin_server_ts: NOW }),
      { ...good, pdu: { ...good.pdu, depth: 1 } },
    ]
    for (const knock of wrong) expect(await send(room, knock)).toMatchObject({ status: 400 })
    expect(passed).toEqual([])
    expect(await send(room, good)).toMatchObject({ ok: true })
    expect((await decisions()).map(({ status }) => status)).toEqual([200, 400, 400, 400])
  })

  it("keeps to the operator's limits before the homeserver is asked, and counts what it took alone", async () => {
    const room = usualRoom('11')
    const { play, passed, make, send } = passOn({ perUser: { knocks: 1, perSeconds: 60 } })
    play.answer = { kind: 'refused', refusal: refusal('M_FORBIDDEN', 'banned', 'handover: the homeserver') }
    expect(await send(room, knockOn(room))).toMatchObject({ status: 403, error: 'banned' })
    play.answer = { kind: 'unknown', reason: 'send_knock answers 502' }
    expect(await send(room, knockOn(room))).toMatchObject({ status: 404, detail: 'send_knock answers 502' })
    play.answer = { kind: 'out of order', reason: 'send_knock: ECONNREFUSED' }
    expect(await send(room, knockOn(room))).toMatchObject({ status: 504, errcode: 'M_UNKNOWN' })
    play.answer = { kind: 'answered', body: undefined }
    expect(await send(room, knockOn(room))).toMatchObject({
      status: 404,
      detail: expect.stringMatching(/without a list/),
    })
    play.answer = ROOM_STATE
    expect(await send(room, knockOn(room))).toMatchObject({ ok: true })
    passed.splice(0)
    expect(await send(room, knockOn(room, { depth: 1 }))).toMatchObject({ status: 403, rule: 'limits.per_user' })
    expect(await make(room, CAROL)).toMatchObject({ status: 403, rule: 'limits.per_user' })
    expect(passed).toEqual([])
  })

  it('with a wrong content hash is taken, and the record says in which form it counts', async () => {
    const room = usualRoom('11')
    const { send, decisions } = passOn()
    const draft = knockDraft(room, CAROL, { origin_server_ts: NOW, hashes: { sha256: 'A'.repeat(43) } })
    expect(await send(room, signAsItIs(draft, '11', REMOTE))).toMatchObject({ ok: true })
    expect(await send(room, knockOn(room))).toMatchObject({ ok: true })
    const [right, wrong] = await decisions()
    expect(right?.reason).toMatch(/are left: there is no signing key$/)
    expect(wrong?.reason).toMatch(
      /^accepted by the homeserver, .*; the content hash is wrong: it counts in its redacted/,
    )
  })
})

describe("a template that the homeserver's own make_knock gives", () => {
  it('is asked for in the name of the origin alone, with a version', async () => {
    const room = usualRoom('11')
    const { passed, make, decisions } = passOn()
    expect(await make(room, ALICE)).toMatchObject({ status: 403, rule: 'make_knock: user of the origin' })
    expect(await make(room, CAROL, [])).toMatchObject({ status: 400, errcode: 'M_MISSING_PARAM' })
    expect(passed).toEqual([])
    expect(await decisions()).toMatchObject([{ endpoint: 'make_knock', outcome: 'refused', eventId: undefined }])
  })

  it.each<[string, JsonObject]>([
    ['another type', { type: 'm.room.name' }],
    ['another room', { room_id: '!x:y' }],
    ['another sender', { sender: '@x:y' }],
    ['another state key', { state_key: '@x:y' }],
    ['another membership', { content: { membership: 'join' } }],
    ['more than an event holds', { x: 'x'.repeat(65_536) }],
  ])('is none with %s', async (_what, changes) => {
    const room = usualRoom('11')
    const { play, make } = passOn()
    play.answer = template(room, CAROL, changes)
    expect(await make(room, CAROL)).toMatchObject({ status: 403, rule: 'template: the homeserver' })
  })

  it('is given on without what its homeserver signed and noted', async () => {
    const room = usualRoom('11')
    const { play, make } = passOn()
    const noted = { signatures: {}, hashes: {}, unsigned: {}, event_id: '$x', origin: 'here.test' }
    play.answer = template(room, CAROL, noted)
    const { body } = template(room, CAROL, { origin: 'here.test' }) as { body: JsonObject }
    expect(await make(room, CAROL)).toEqual({ ok: true, template: body })
  })

  it('must be for a version that the remote supports, and is remembered only then', async () => {
    const room = usualRoom('11')
    const { play, make, decisions } = passOn()
    play.answer = template(room, CAROL)
    expect(await make(room, CAROL, ['10'])).toMatchObject({ status: 400, fields: { room_version: '11' } })
    expect(await decisions()).toMatchObject([{ facts: { roomVersion: undefined } }])
  })

  it('is counted once, however often it comes', async () => {
    const room = usualRoom('11')
    const { passed, send } = passOn({ perUser: { knocks: 1, perSeconds: 60 } })
    const knock = knockOn(room)
    expect(await send(room, knock)).toMatchObject({ ok: true })
    expect(await send(room, knock)).toMatchObject({ ok: true })
    const another = knockOn(room, { origin_server_ts: NOW + 1 })
    expect(await send(room, another)).toMatchObject({ ok: false, status: 403, rule: 'limits.per_user' })
    expect(passed).toHaveLength(2)
  })
})
