import { describe, expect, it } from 'vitest'
import type { EventId } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import { refusal } from '../../src/matrix/refusal.ts'
import { KNOCK_ROOM_STATE_TYPES, knockRoomState } from '../../src/matrix/stripped-state.ts'
import { bare, knockFields, pduOf } from './given.ts'

function shown(types: readonly string[]) {
  const state = new Map<string, RoomEvent>(
    types.map((type) => [
      type,
      { eventId: `$${type}` as EventId, pdu: pduOf(knockFields({ type, state_key: '', unsigned: { age: 1 } })) },
    ]),
  )
  return knockRoomState(state)
}

describe('knock_room_state', () => {
  it('G2 holds each listed type that is set, whole but for unsigned', () => {
    const expected = ['m.room.create', 'm.room.name'].map((type) => bare(knockFields({ type, state_key: '' })))
    expect(shown(['m.room.name', 'm.room.create', 'm.room.server_acl', 'm.room.power_levels'])).toEqual(expected)
  })

  it('G2 lists these types and no others', () => {
    expect(shown([...KNOCK_ROOM_STATE_TYPES, 'm.room.member', 'm.room.policy']).map((pdu) => pdu.type)).toEqual([
      'm.room.create',
      'm.room.join_rules',
      'm.room.name',
      'm.room.avatar',
      'm.room.canonical_alias',
      'm.room.encryption',
      'm.room.topic',
    ])
    expect(shown([])).toEqual([])
  })
})

describe('refusals', () => {
  it.each([
    ['M_BAD_JSON', 400],
    ['M_FORBIDDEN', 403],
    ['M_INCOMPATIBLE_ROOM_VERSION', 400],
    ['M_INVALID_PARAM', 400],
    ['M_LIMIT_EXCEEDED', 429],
    ['M_MISSING_PARAM', 400],
    ['M_NOT_FOUND', 404],
    ['M_NOT_JSON', 400],
    ['M_TOO_LARGE', 413],
    ['M_UNAUTHORIZED', 401],
    ['M_UNKNOWN', 500],
    ['M_UNRECOGNIZED', 404],
    ['M_UNSUPPORTED_ROOM_VERSION', 400],
  ] as const)('%s is answered with %i', (errcode, status) => {
    expect(refusal(errcode, 'what', 'rule')).toEqual({ ok: false, status, errcode, error: 'what', rule: 'rule' })
  })

  it('carry further keys of the body', () => {
    expect(refusal('M_INCOMPATIBLE_ROOM_VERSION', 'e', 'r', { room_version: '10' }).fields).toEqual({
      room_version: '10',
    })
  })
})
