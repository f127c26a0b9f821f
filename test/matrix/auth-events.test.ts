import { describe, expect, it } from 'vitest'
import { checkAuthEvents, selectAuthEvents, unknownAuthEvent } from '../../src/matrix/auth/auth-events.ts'
import type { EventId } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import type { OracleObject } from '../oracle/json-value.ts'
import { knockFields, pduOf, version } from './given.ts'

const BOB = '@bob:there.test'

function stored(name: string, type: string, stateKey: string, extra: OracleObject = {}): RoomEvent {
  return {
    eventId: `$${name}` as EventId,
    pdu: pduOf(knockFields({ type, state_key: stateKey, content: {}, ...extra })),
  }
}

const CREATE = stored('create', 'm.room.create', '')
const POWER = stored('power', 'm.room.power_levels', '')
const RULES = stored('rules', 'm.room.join_rules', '')
const MEMBER = stored('member', 'm.room.member', BOB)
const KNOCK = pduOf(knockFields())
const BEFORE_12 = ['7', '8', '9', '10', '11']

function check(id: string, events: readonly RoomEvent[]) {
  return checkAuthEvents(KNOCK, events, CREATE, version(id))
}

describe('auth event selection', () => {
  it.each(BEFORE_12)('E1 lists create, power levels, join rules and the member event in version %s', (id) => {
    const all = { create: CREATE, powerLevels: POWER, joinRules: RULES, member: MEMBER }
    expect(selectAuthEvents(all, version(id))).toEqual(['$create', '$power', '$rules', '$member'])
    expect(selectAuthEvents({ ...all, powerLevels: undefined, member: undefined }, version(id))).toEqual([
      '$create',
      '$rules',
    ])
  })

  it('E1 never lists the create event in version 12', () => {
    const all = { create: CREATE, powerLevels: POWER, joinRules: RULES, member: MEMBER }
    expect(selectAuthEvents(all, version('12'))).toEqual(['$power', '$rules', '$member'])
    expect(selectAuthEvents({ ...all, joinRules: undefined }, version('12'))).toEqual(['$power', '$member'])
  })
})

describe.each(BEFORE_12)('rules for auth events in version %s', (id) => {
  it('F3 lay the events out as state, in any order', () => {
    const expected = { allowed: true, state: { create: CREATE, joinRules: RULES, member: MEMBER } }
    expect(check(id, [CREATE, POWER, RULES, MEMBER])).toEqual(expected)
    expect(check(id, [MEMBER, RULES, POWER, CREATE])).toEqual(expected)
    expect(check(id, [CREATE])).toEqual({
      allowed: true,
      state: { create: CREATE, joinRules: undefined, member: undefined },
    })
  })

  it('F3 reject a pair named twice', () => {
    const again = stored('power2', 'm.room.power_levels', '')
    expect(check(id, [CREATE, POWER, again])).toMatchObject({ allowed: false, rule: `auth v${id} 2.1` })
    expect(check(id, [CREATE, MEMBER, MEMBER])).toMatchObject({ allowed: false, rule: `auth v${id} 2.1` })
  })

  it.each([
    ['another type', stored('name', 'm.room.name', '')],
    ['a create event with a state key', stored('x', 'm.room.create', 'x')],
    ['power levels with a state key', stored('x', 'm.room.power_levels', 'x')],
    ['join rules with a state key', stored('x', 'm.room.join_rules', 'x')],
    ['the member event of somebody else', stored('x', 'm.room.member', '@eve:there.test')],
    ['a member event with no state key', { ...MEMBER, pdu: pduOf({ ...knockFields(), state_key: '' }) }],
    ['a third-party invite', stored('x', 'm.room.third_party_invite', 'token')],
  ])('F3 reject %s', (_what, event) => {
    expect(check(id, [CREATE, event])).toMatchObject({ allowed: false, rule: `auth v${id} 2.2` })
  })

  it('F3 reject an event that is not known to have been accepted', () => {
    expect(unknownAuthEvent(version(id))).toMatchObject({ allowed: false, rule: `auth v${id} 2.3` })
  })

  it('F3 ask for the create event', () => {
    expect(check(id, [POWER, RULES])).toMatchObject({ allowed: false, rule: `auth v${id} 2.4` })
    expect(check(id, [])).toMatchObject({ allowed: false, rule: `auth v${id} 2.4` })
  })

  it('F3 reject an event of another room', () => {
    const foreign = stored('x', 'm.room.join_rules', '', { room_id: '!other:here.test' })
    expect(check(id, [CREATE, foreign])).toMatchObject({ allowed: false, rule: `auth v${id} 2.5` })
    const foreignCreate = stored('x', 'm.room.create', '', { room_id: '!other:here.test' })
    expect(check(id, [foreignCreate])).toMatchObject({ allowed: false, rule: `auth v${id} 2.5` })
  })
})

describe('rules for auth events in version 12', () => {
  it('F3 imply the create event, and reject one that is listed', () => {
    expect(check('12', [POWER, RULES])).toEqual({
      allowed: true,
      state: { create: CREATE, joinRules: RULES, member: undefined },
    })
    expect(check('12', [])).toMatchObject({ allowed: true })
    expect(check('12', [CREATE, RULES])).toMatchObject({ allowed: false, rule: 'auth v12 3.2' })
  })

  it('F3 are numbered 3', () => {
    expect(check('12', [RULES, RULES])).toMatchObject({ rule: 'auth v12 3.1' })
    expect(check('12', [stored('x', 'm.room.join_rules', '', { room_id: '!o:h' })])).toMatchObject({
      rule: 'auth v12 3.5',
    })
    expect(unknownAuthEvent(version('12'))).toMatchObject({ rule: 'auth v12 3.3' })
  })
})
