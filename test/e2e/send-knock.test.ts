import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  eventSignable,
  finishEvent,
  idOf,
  KNOCKABLE_VERSIONS,
  signAsItIs,
  type TestedVersion,
} from '../support/events.ts'
import { knockDraft, knockEvent, sendKnock, sendKnockPath, signedRequest } from '../support/remote-knocker.ts'
import { createIdentity, type JsonRecord, verifyText, withSignature } from '../support/signing.ts'
import {
  bans,
  buildRoom,
  invites,
  joinRule,
  joins,
  kicks,
  leaves,
  opening,
  person,
  sets,
  type TestRoom,
} from '../support/test-room.ts'
import { type Cast, type Stage, setStage } from './stage.ts'

let stage: Stage
const rooms = new Map<TestedVersion, TestRoom>()

function build({ alice, bob, remote }: Cast): readonly TestRoom[] {
  const [gone, joined, kicked] = ['gone', 'joined', 'kicked'].map((name) => person(name, remote.identity))
  if (gone === undefined || joined === undefined || kicked === undefined) throw new Error('no cast')
  return KNOCKABLE_VERSIONS.map((version) => {
    const room = buildRoom(version, alice, [
      ...opening(alice, version, 'public'),
      joins(bob),
      ...[gone, joined, kicked].map(joins),
      leaves(gone),
      kicks(alice, kicked),
      bans(alice, person('banned', remote.identity)),
      invites(alice, person('invited', remote.identity)),
      joinRule(alice, 'knock'),
      ...shownState.map(([type, content]) => sets(alice, type, content)),
      sets(alice, 'm.room.history_visibility', { history_visibility: 'shared' }),
      sets(alice, 'm.room.pinned_events', { pinned: [] }),
      sets(alice, 'm.room.name', { name: 'not the room' }, 'with a state key'),
    ])
    rooms.set(version, room)
    return { ...room, importFile: () => withUnsigned(room.importFile()) }
  })
}

/** What a homeserver adds to the events that it hands out: no part of them, and nobody's business. */
function withUnsigned(file: JsonRecord): JsonRecord {
  const pdus = file.pdus as readonly JsonRecord[]
  return { ...file, pdus: pdus.map((pdu) => ({ ...pdu, unsigned: { age: 1, prev_content: { secret: 'x' } } })) }
}

const shownState: readonly [string, JsonRecord][] = [
  ['m.room.name', { name: 'Garden' }],
  ['m.room.topic', { topic: 'Seeds' }],
  ['m.room.avatar', { url: 'mxc://resident.example/leaf' }],
  ['m.room.canonical_alias', { alias: '#garden:resident.example' }],
  ['m.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' }],
]

beforeAll(async () => {
  stage = await setStage(build)
})
afterAll(() => stage?.close())

const refusal = (status: number, errcode: string) => ({ status, body: { errcode, error: expect.any(String) } })

describe.each(KNOCKABLE_VERSIONS)('send_knock in room version %s', (version) => {
  const room = (): TestRoom => {
    const found = rooms.get(version)
    if (found === undefined) throw new Error('no room')
    return found
  }
  const remote = () => stage.remote.identity
  const send = (event: { eventId: string; pdu: JsonRecord }, origin = remote()) =>
    sendKnock(stage.service, origin, room(), event)

  it.each<[string, (draft: JsonRecord) => JsonRecord]>([
    ['the type is not m.room.member', (draft) => ({ ...draft, type: 'm.room.name' })],
    ['the membership is not knock', (draft) => ({ ...draft, content: { membership: 'join' } })],
    ['the sender is not of the origin', (draft) => ({ ...draft, sender: stage.bob.id, state_key: stage.bob.id })],
    ['state_key is not the sender', (draft) => ({ ...draft, state_key: stage.knocker('lee').id })],
  ])('F1 400 when %s', async (_name, change) => {
    const draft = change(knockDraft(room(), stage.knocker('kim')))
    expect(await send(finishEvent(draft, version, remote()))).toMatchObject(refusal(400, 'M_INVALID_PARAM'))
  })

  it('F1 400 when the signature is wrong, missing, or by another server', async () => {
    const kim = stage.knocker('kim')
    const stranger = createIdentity(remote().name, remote().keyId)
    const unsigned = { ...knockEvent(room(), kim) }
    const bySomebody = finishEvent(knockDraft(room(), kim), version, stage.neighbour.identity)
    for (const event of [
      finishEvent(knockDraft(room(), kim), version, stranger),
      { eventId: unsigned.eventId, pdu: { ...unsigned.pdu, signatures: {} } },
      bySomebody,
    ]) {
      expect(await send(event)).toMatchObject(refusal(400, 'M_INVALID_PARAM'))
    }
  })

  it.each<[string, JsonRecord]>([
    ['a message', { type: 'm.room.message', content: { body: 'hi', msgtype: 'm.text' } }],
    ['a member event that is no state', { content: { membership: 'knock' } }],
    ['a join', { state_key: '@joined', content: { membership: 'join' } }],
    ['a leave', { state_key: '@joined', content: { membership: 'leave' } }],
    ['an invite', { state_key: '@joined', content: { membership: 'invite' } }],
    ['a knock for somebody else', { state_key: '@else', content: { membership: 'knock' } }],
  ])('F2 400 for %s of a joined user', async (_name, changes) => {
    const joined = stage.knocker('joined')
    const { state_key: _stateKey, ...stateless } = knockDraft(room(), joined)
    const { state_key: marker, ...rest } = changes
    const stateKey = marker === '@joined' ? { state_key: joined.id } : marker && { state_key: stage.knocker('else').id }
    const event = finishEvent({ ...stateless, ...rest, ...(stateKey || {}) }, version, remote())
    expect(await send(event)).toMatchObject(refusal(400, expect.stringMatching(/^M_(INVALID_PARAM|BAD_JSON)$/)))
  })

  it.each(['new', 'gone', 'kicked'])('F4 G1 G2 a knock of a user who is %s is accepted', async (localpart) => {
    const answer = await send(knockEvent(room(), stage.knocker(localpart)))
    expect(answer.status).toBe(200)
    expect(Object.keys(answer.body)).toEqual(['knock_room_state'])
    const shown = answer.body.knock_room_state as readonly JsonRecord[]
    expect(shown.map(({ type }) => type).sort()).toEqual(
      ['m.room.create', 'm.room.join_rules', ...shownState.map(([type]) => type)].sort(),
    )
    for (const pdu of shown) {
      expect(pdu).toEqual(room().state(String(pdu.type))?.pdu)
      const signature = String(
        ((pdu.signatures as JsonRecord)[stage.resident.name] as JsonRecord)[stage.resident.keyId],
      )
      expect(verifyText(eventSignable(pdu, version), signature, stage.resident.publicKey)).toBe(true)
    }
    const create = shown.find(({ type }) => type === 'm.room.create') ?? {}
    if (version === '12') expect(`!${idOf(create, version).slice(1)}`).toBe(room().roomId)
    expect('room_id' in create).toBe(version !== '12')
  })

  it('F4 a knock of a user who knocks already is accepted', async () => {
    const kim = stage.knocker('again')
    const first = knockEvent(room(), kim)
    expect((await send(first)).status).toBe(200)
    const second = knockEvent(room(), kim, {
      content: { membership: 'knock', reason: 'still here' },
      prev_events: [first.eventId],
      auth_events: [...room().authEventsFor(kim.id), first.eventId],
      depth: Number(first.pdu.depth) + 1,
    })
    expect((await send(second)).status).toBe(200)
  })

  it.each(['banned', 'invited', 'joined'])('F4 a knock of a user who is %s is 403', async (localpart) => {
    const answer = await send(knockEvent(room(), stage.knocker(localpart)))
    expect(answer).toMatchObject(refusal(403, 'M_FORBIDDEN'))
  })

  it('F10 the same knock again gets the same answer', async () => {
    const event = knockEvent(room(), stage.knocker('twice'))
    const [first, second] = [await send(event), await send(event)]
    expect(first.status).toBe(200)
    expect({ status: second.status, text: second.text }).toEqual({ status: first.status, text: first.text })
  })

  it('F11 400 when the path names another event or another room', async () => {
    const event = knockEvent(room(), stage.knocker('kim'))
    const other = knockEvent(room(), stage.knocker('lee'))
    expect(await send({ ...event, eventId: other.eventId })).toMatchObject(refusal(400, 'M_INVALID_PARAM'))
    const elsewhere = rooms.get(version === '10' ? '11' : '10') as TestRoom
    const path = sendKnockPath(elsewhere.roomId, event.eventId)
    const answer = await signedRequest(stage.service, remote(), 'PUT', path, event.pdu)
    expect(answer).toMatchObject(refusal(400, 'M_INVALID_PARAM'))
  })

  it.each<[string, () => JsonRecord]>([
    ['absent', () => ({})],
    ['ours', () => ({ origin: stage.resident.name })],
    ['theirs', () => ({ origin: remote().name })],
  ])('F13 an origin key that is %s is accepted', async (name, origin) => {
    expect((await send(knockEvent(room(), stage.knocker(`origin-${name}`), origin()))).status).toBe(200)
  })

  it('a signature by a key that nobody knows is passed over beside one that holds', async () => {
    const event = knockEvent(room(), stage.knocker('two-keys'))
    const unknown = createIdentity(remote().name, 'ed25519:never_published')
    const pdu = withSignature(event.pdu, unknown, eventSignable(event.pdu, version))
    expect((await send({ ...event, pdu })).status).toBe(200)
    const { signatures: _signatures, ...hashed } = knockEvent(room(), stage.knocker('one-key')).pdu
    expect(await send(signAsItIs(hashed, version, unknown))).toMatchObject(refusal(400, 'M_INVALID_PARAM'))
  })
})
