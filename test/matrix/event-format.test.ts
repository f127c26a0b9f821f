import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../../src/matrix/canonical-json.ts'
import { checkPduFormat, MAX_PDU_BYTES } from '../../src/matrix/event-format.ts'
import { contentHashHolds } from '../../src/matrix/event-hashes.ts'
import { authEventIds, prevEventIds } from '../../src/matrix/pdu.ts'
import type { OracleJson, OracleObject } from '../oracle/json-value.ts'
import { bare, knockFields, pduOf, version } from './given.ts'

function check(fields: OracleObject, id = '10') {
  return checkPduFormat(bare(fields), version(id))
}

function without(key: string): OracleObject {
  return Object.fromEntries(Object.entries(knockFields()).filter(([name]) => name !== key))
}

function refusedFor(fields: OracleObject, error: string, id = '10') {
  expect(check(fields, id)).toEqual({
    ok: false,
    status: 400,
    errcode: 'M_BAD_JSON',
    error: expect.stringContaining(error),
    rule: `event format v${id}`,
  })
}

/** A knock of exactly so many canonical bytes. */
function sized(bytes: number): OracleObject {
  const base = knockFields({ content: { membership: 'knock', reason: '' } })
  const missing = bytes - canonicalJson(bare(base)).length
  return { ...base, content: { membership: 'knock', reason: 'x'.repeat(missing) } }
}

const ids = (count: number) => Array.from({ length: count }, (_, at) => `$${String(at).padStart(43, 'A')}`)

describe('event format', () => {
  it.each(['3', '6', '7', '10', '11', '12'])('accepts a knock of version %s and gives it back unchanged', (id) => {
    const object = bare(knockFields({ extra: { a: 1 }, origin: 'there.test', unsigned: { age: 1 } }))
    const result = checkPduFormat(object, version(id))
    expect(result.ok && result.pdu).toBe(object)
  })

  it('F13 does not ask for origin', () => {
    expect(check(knockFields()).ok).toBe(true)
    for (const origin of ['here.test', 'there.test']) expect(check(knockFields({ origin })).ok).toBe(true)
  })

  it.each([
    'type',
    'sender',
    'room_id',
    'content',
    'origin_server_ts',
    'depth',
    'prev_events',
    'auth_events',
    'hashes',
    'signatures',
  ])('refuses an event without %s', (key) => {
    refusedFor(without(key), key)
  })

  it('takes an event without state_key and without unsigned', () => {
    expect(check(without('state_key')).ok).toBe(true)
  })

  const wrong: readonly (readonly [string, OracleJson, string])[] = [
    ['type', 1, 'type must be a string'],
    ['sender', ['@a:b'], 'sender must be a string'],
    ['room_id', null, 'room_id must be a string'],
    ['state_key', 0, 'state_key must be a string'],
    ['content', [], 'content must be an object'],
    ['content', null, 'content must be an object'],
    ['content', 'knock', 'content must be an object'],
    ['origin_server_ts', '1', 'origin_server_ts must be an integer'],
    ['origin_server_ts', true, 'origin_server_ts must be an integer'],
    ['depth', null, 'depth must be an integer'],
    ['depth', '5', 'depth must be an integer'],
    ['depth', -1, 'depth must not be negative'],
    ['unsigned', [], 'unsigned must be an object'],
    ['unsigned', null, 'unsigned must be an object'],
    ['prev_events', {}, 'prev_events must be a list'],
    ['prev_events', [1], 'prev_events must be a list of event ids'],
    ['prev_events', [['$a', { sha256: 'x' }]], 'prev_events must be a list of event ids'],
    ['auth_events', 'x', 'auth_events must be a list'],
    ['auth_events', ['$a', null], 'auth_events must be a list of event ids'],
    ['hashes', 'x', 'hashes.sha256 must be a string'],
    ['hashes', {}, 'hashes.sha256 must be a string'],
    ['hashes', { sha256: 1 }, 'hashes.sha256 must be a string'],
    ['signatures', [], 'signatures must be an object'],
    ['signatures', { a: 'x' }, 'signatures must map'],
    ['signatures', { a: { 'ed25519:1': 1 } }, 'signatures must map'],
    ['signatures', { a: { 'ed25519:1': 'x' }, b: { 'ed25519:1': null } }, 'signatures must map'],
    ['event_id', '$a:b', 'carry no event_id'],
  ]
  it.each(wrong)('refuses %s %j', (key, value, error) => {
    refusedFor(knockFields({ [key]: value }), error)
  })

  it('takes the least and greatest depth and time', () => {
    expect(check(knockFields({ depth: 0, origin_server_ts: 0 })).ok).toBe(true)
    expect(check(knockFields({ depth: Number.MAX_SAFE_INTEGER, origin_server_ts: -1 })).ok).toBe(true)
  })

  it('F8 takes 20 prev_events and 10 auth_events, and refuses one more', () => {
    expect(check(knockFields({ prev_events: ids(20), auth_events: ids(10) })).ok).toBe(true)
    refusedFor(knockFields({ prev_events: ids(21) }), 'prev_events must name at most 20')
    refusedFor(knockFields({ auth_events: ids(11) }), 'auth_events must name at most 10')
    expect(check(knockFields({ prev_events: [], auth_events: [] })).ok).toBe(true)
  })

  it.each(['type', 'sender', 'room_id', 'state_key'])(
    'takes 255 bytes of %s and refuses 256, counted in UTF-8',
    (key) => {
      expect(check(knockFields({ [key]: 'x'.repeat(255) })).ok).toBe(true)
      refusedFor(knockFields({ [key]: 'x'.repeat(256) }), `${key} must be at most 255 bytes`)
      expect(check(knockFields({ [key]: `${'é'.repeat(127)}x` })).ok).toBe(true)
      refusedFor(knockFields({ [key]: 'é'.repeat(128) }), `${key} must be at most 255 bytes`)
    },
  )

  it('F12 takes 65,536 canonical bytes and refuses 65,537', () => {
    expect(canonicalJson(bare(sized(MAX_PDU_BYTES))).length).toBe(65_536)
    expect(check(sized(65_536)).ok).toBe(true)
    expect(check(sized(65_537))).toMatchObject({ ok: false, status: 413, errcode: 'M_TOO_LARGE' })
  })

  it('F12 counts signatures and unsigned, and bytes rather than characters', () => {
    const base = sized(65_000)
    const filler = { filler: { 'ed25519:1': 'x'.repeat(900) } }
    expect(check({ ...base, signatures: filler })).toMatchObject({ errcode: 'M_TOO_LARGE' })
    expect(check({ ...base, unsigned: { filler: 'x'.repeat(900) } })).toMatchObject({ errcode: 'M_TOO_LARGE' })
    expect(check(knockFields({ content: { reason: 'é'.repeat(33_000) } }))).toMatchObject({ errcode: 'M_TOO_LARGE' })
  })

  it('asks versions 1 and 2 for an event id and for pairs', () => {
    const old = knockFields({ event_id: '$a:b', prev_events: [['$p:b', { sha256: 'x' }]], auth_events: [] })
    expect(check(old, '1').ok).toBe(true)
    refusedFor(knockFields({ event_id: '$a:b' }), 'prev_events must be a list of event ids', '2')
    refusedFor(knockFields(), 'event_id is missing', '1')
    refusedFor({ ...old, prev_events: [[1]] }, 'prev_events must be a list of event ids', '1')
    expect(prevEventIds(pduOf(old))).toEqual(['$p:b'])
  })

  it('gives the ids that an event names', () => {
    const pdu = pduOf(knockFields({ prev_events: ids(2), auth_events: ids(3) }))
    expect(prevEventIds(pdu)).toEqual(ids(2))
    expect(authEventIds(pdu)).toEqual(ids(3))
  })

  it('wants no room_id on the create event of version 12 alone', () => {
    const create = { type: 'm.room.create', state_key: '', content: { room_version: '12' } }
    const { room_id: _left, ...rest } = knockFields(create)
    expect(check(rest, '12').ok).toBe(true)
    refusedFor(knockFields(create), 'no room_id', '12')
    expect(check(knockFields(create), '11').ok).toBe(true)
    refusedFor(rest, 'room_id is missing', '11')
    refusedFor(without('room_id'), 'room_id is missing', '12')
    refusedFor({ ...rest, state_key: 'x' }, 'room_id is missing', '12')
    refusedFor({ ...rest, type: 'm.room.message' }, 'room_id is missing', '12')
  })

  it.each([
    ['another hash', 'A'.repeat(43)],
    ['a hash that is too short', 'AAAA'],
    ['no base64', '*'.repeat(43)],
    ['nothing', ''],
  ])('tells a content hash that does not hold: %s', (_what, sha256) => {
    expect(contentHashHolds(pduOf(knockFields({ hashes: { sha256 } })))).toBe(false)
  })
})
