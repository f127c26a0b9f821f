import { describe, expect, it } from 'vitest'
import { checkRoomState, checkTemplate, signKnock, type WantedKnock } from '../../../src/cli/knock/event.ts'
import type { KeyId, RoomId, ServerName, UserId } from '../../../src/matrix/identifiers.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { signingKeyFromSeed } from '../../../src/matrix/portable-ed25519.ts'
import { roomVersion } from '../../../src/matrix/room-versions.ts'
import { contentHashOf, eventSignable, idOf, KNOCKABLE_VERSIONS, redacted } from '../../support/events.ts'
import { createIdentity, type JsonRecord, verifyText } from '../../support/signing.ts'
import { buildRoom, opening, person, sets } from '../../support/test-room.ts'

const resident = createIdentity('resident.example.test')
const remote = createIdentity('remote.example.test')
const alice = person('alice', resident)
const user = `@kim:${remote.name}` as UserId

describe.each(KNOCKABLE_VERSIONS)('a knock in room version %s', (id) => {
  const version = roomVersion(id)
  if (version === undefined) throw new Error(`room version ${id} is unknown`)
  const room = buildRoom(id, alice, [...opening(alice, id), sets(alice, 'm.room.name', { name: 'Garden' })])
  const roomId = room.roomId as RoomId
  const wanted: WantedKnock = { roomId, userId: user, versions: [id], reason: 'hello' }
  const event: JsonRecord = {
    type: 'm.room.member',
    room_id: roomId,
    sender: user,
    state_key: user,
    content: { membership: 'knock' },
    origin: resident.name,
    origin_server_ts: Date.now(),
    depth: 9,
    prev_events: [room.tip.eventId],
    auth_events: room.authEventsFor(user),
  }
  const answer = (changes: JsonRecord): JsonObject => ({ room_version: id, event: { ...event, ...changes } })

  it('takes a template that is what was asked for', () => {
    expect(checkTemplate(answer({}), wanted)).toMatchObject({ ok: true })
  })

  it.each<[string, JsonRecord]>([
    ['room_id is not', { room_id: '!other:resident.example.test' }],
    ['sender is not', { sender: '@lee:remote.example.test' }],
    ['state_key is not', { state_key: '@lee:remote.example.test' }],
    ['type is not', { type: 'm.room.message' }],
    ['membership is not', { content: { membership: 'join' } }],
  ])('throws a template away whose %s what was asked for', (reason, changes) => {
    expect(checkTemplate(answer(changes), wanted)).toEqual({ ok: false, reason: expect.stringContaining(reason) })
  })

  it('throws a template away that is of a room version that was not offered', () => {
    expect(checkTemplate(answer({}), { ...wanted, versions: ['6'] })).toMatchObject({ ok: false })
    expect(checkTemplate({ room_version: '99', event }, { ...wanted, versions: ['99'] })).toMatchObject({ ok: false })
    expect(checkTemplate(undefined, wanted)).toMatchObject({ ok: false })
  })

  it('signs as a second implementation does, and nothing that was slipped in', () => {
    const key = signingKeyFromSeed(remote.keyId as KeyId, remote.seed)
    const slipped = {
      ...event,
      unsigned: { age: 1 },
      signatures: { x: { y: 'z' } },
      event_id: '$no',
      hashes: { sha256: '' },
    }
    const signed = signKnock(slipped, version, 'hello', { serverName: remote.name as ServerName, key })
    if (!signed.ok) throw new Error(signed.reason)
    const pdu = JSON.parse(JSON.stringify(signed.pdu)) as JsonRecord
    expect(signed.eventId).toBe(idOf(pdu, id))
    expect(pdu.hashes).toEqual({ sha256: contentHashOf(pdu) })
    expect(pdu.content).toEqual({ membership: 'knock', reason: 'hello' })
    expect(Object.keys(pdu)).not.toContain('unsigned')
    const signature = String(signed.pdu.signatures[remote.name]?.[remote.keyId])
    expect(verifyText(eventSignable(pdu, id), signature, remote.publicKey)).toBe(true)
  })

  const shown = ['m.room.create', 'm.room.join_rules', 'm.room.name'].flatMap<JsonRecord>(
    (type) => room.state(type)?.pdu ?? [],
  )

  it('takes knock_room_state of whole events with the create event', () => {
    const check = checkRoomState({ knock_room_state: shown }, version, roomId)
    expect(check.flaw).toBeUndefined()
    expect(check.entries.map(({ eventId }) => eventId)).toContain(room.state('m.room.create')?.eventId)
  })

  it('takes an event that was redacted', () => {
    const list = shown.map((pdu) => (pdu.type === 'm.room.name' ? redacted(pdu, id) : pdu))
    expect(checkRoomState({ knock_room_state: list }, version, roomId).flaw).toBeUndefined()
  })

  it.each<[string, JsonObject]>([
    ['no list', {}],
    ['no create event', { knock_room_state: shown.slice(1) }],
    [
      'stripped events',
      { knock_room_state: [{ type: 'm.room.create', state_key: '', sender: alice.id, content: {} }] },
    ],
    ['an altered name', { knock_room_state: [...shown.slice(0, 2), { ...shown[2], content: { name: 'Trap' } }] }],
    ['a member', { knock_room_state: [...shown, room.state('m.room.member', alice.id)?.pdu ?? null] }],
    ['no objects', { knock_room_state: [...shown, 1] }],
  ])('objects to knock_room_state with %s', (_name, body) => {
    expect(checkRoomState(body, version, roomId).flaw).toBeDefined()
  })

  it('objects to the create event of another room', () => {
    const other = buildRoom(id, alice, opening(alice, id))
    const create = other.state('m.room.create')?.pdu ?? null
    expect(checkRoomState({ knock_room_state: [create] }, version, roomId).flaw).toMatch(/no usable create event/)
  })
})
