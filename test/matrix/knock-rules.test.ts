import { describe, expect, it } from 'vitest'
import {
  authoriseKnock,
  authorisingServer,
  type KnockToJudge,
  membershipOf,
} from '../../src/matrix/auth/knock-rules.ts'
import type { EventId } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import { ROOM_VERSIONS } from '../../src/matrix/room-versions.ts'
import type { OracleJson, OracleObject } from '../oracle/json-value.ts'
import { knockFields, pduOf, vectors, version } from './given.ts'

const CREATE_ID = `$${'C'.repeat(43)}` as EventId
const HASH_ROOM = `!${'C'.repeat(43)}`
const KNOCKABLE = ['7', '8', '9', '10', '11', '12']

function stateEvent(type: string, content: OracleObject, sender = '@alice:domain', stateKey = ''): RoomEvent {
  return { eventId: CREATE_ID, pdu: pduOf(knockFields({ type, sender, state_key: stateKey, content })) }
}

interface Given {
  readonly joinRule?: OracleJson | undefined
  readonly membership?: OracleJson
  readonly federate?: OracleJson
  readonly knock?: Partial<KnockToJudge>
  readonly sender?: string
}

/** Bob of another server knocks on Alice's room, where everything is in order unless `given` says otherwise. */
function judge(id: string, given: Given = {}) {
  const sender = given.sender ?? '@bob:elsewhere'
  const create = stateEvent('m.room.create', given.federate === undefined ? {} : { 'm.federate': given.federate })
  const joinRule = 'joinRule' in given ? given.joinRule : 'knock'
  const state = {
    create,
    joinRules: joinRule === undefined ? undefined : stateEvent('m.room.join_rules', { join_rule: joinRule }),
    member:
      given.membership === undefined
        ? undefined
        : stateEvent('m.room.member', { membership: given.membership }, sender, sender),
  }
  const knock = { sender, stateKey: sender, roomId: id === '12' ? HASH_ROOM : '!room:domain', ...given.knock }
  return authoriseKnock(knock, state, version(id))
}

/** Rule numbers for [join rule, other user, allowed, otherwise, federate, authorising signature]. */
const NUMBERS: Readonly<Record<string, readonly string[]>> = {
  '7': ['4.6.1', '4.6.2', '4.6.3', '4.6.4', '3'],
  '8': ['4.7.1', '4.7.2', '4.7.3', '4.7.4', '3', '4.2'],
  '9': ['4.7.1', '4.7.2', '4.7.3', '4.7.4', '3', '4.2'],
  '10': ['4.7.1', '4.7.2', '4.7.3', '4.7.4', '3', '4.2'],
  '11': ['4.7.1', '4.7.2', '4.7.3', '4.7.4', '3', '4.2'],
  '12': ['5.7.1', '5.7.2', '5.7.3', '5.7.4', '4', '5.2'],
}

function rule(id: string, at: number): string {
  return `auth v${id} ${NUMBERS[id]?.[at]}`
}

describe.each(KNOCKABLE)('rules for a knock in version %s', (id) => {
  it.each([undefined, 'leave', 'knock', 'unheard-of', 7])('F4 allows it from membership %s', (membership) => {
    expect(judge(id, membership === undefined ? {} : { membership })).toEqual({ allowed: true, rule: rule(id, 2) })
  })

  it.each(['invite', 'join', 'ban'])('F4 rejects it from membership %s', (membership) => {
    expect(judge(id, { membership })).toEqual({
      allowed: false,
      rule: rule(id, 3),
      reason: expect.stringContaining(membership),
    })
  })

  it.each(['private', 'public', 'invite', 'restricted', 'Knock', 'knock ', '', undefined, null, 1, ['knock']])(
    'F3 rejects it under the join rule %j',
    (joinRule) => {
      expect(judge(id, { joinRule })).toMatchObject({ allowed: false, rule: rule(id, 0) })
    },
  )

  it('F3 takes knock_restricted from version 10 on', () => {
    const allowed = ['10', '11', '12'].includes(id)
    expect(judge(id, { joinRule: 'knock_restricted' })).toMatchObject({ allowed, rule: rule(id, allowed ? 2 : 0) })
  })

  it('F3 rejects a knock for somebody else', () => {
    expect(judge(id, { knock: { stateKey: '@eve:elsewhere' } })).toMatchObject({ allowed: false, rule: rule(id, 1) })
  })

  it('F5 keeps other servers out where m.federate is false', () => {
    expect(judge(id, { federate: false })).toMatchObject({ allowed: false, rule: rule(id, 4) })
    expect(judge(id, { federate: false, sender: '@carol:domain' })).toMatchObject({ allowed: true })
    expect(judge(id, { federate: false, sender: '@carol:domain:8448' })).toMatchObject({ allowed: false })
  })

  it.each(['false', 0, null, '', [], true, undefined])('F5 lets them in where m.federate is %j', (federate) => {
    expect(judge(id, federate === undefined ? {} : { federate })).toMatchObject({ allowed: true })
  })

  it('F9 asks for the signature of an authorising server from version 8 on', () => {
    const authorisingUser = { userId: '@host:domain', signed: false }
    if (id === '7') expect(judge(id, { knock: { authorisingUser } })).toMatchObject({ allowed: true })
    else expect(judge(id, { knock: { authorisingUser } })).toMatchObject({ allowed: false, rule: rule(id, 5) })
    const signed = { ...authorisingUser, signed: true }
    expect(judge(id, { knock: { authorisingUser: signed } })).toMatchObject({ allowed: true })
  })

  it("F3 asks for a room id that is the create event's in version 12 alone", () => {
    const verdict = judge(id, { knock: { roomId: `!${'D'.repeat(43)}` } })
    if (id === '12') expect(verdict).toMatchObject({ allowed: false, rule: 'auth v12 2' })
    else expect(verdict).toMatchObject({ allowed: true })
  })
})

describe('rules for a knock', () => {
  it.each(['1', '2', '3', '4', '5', '6'])('F3 reject it in version %s whatever the state', (id) => {
    expect(judge(id)).toEqual({ allowed: false, rule: `auth v${id} 4`, reason: expect.any(String) })
  })

  it('F3 cite the first rule that decides', () => {
    const authorisingUser = { userId: '@host:domain', signed: false }
    const everything: Given = { federate: false, joinRule: 'public', membership: 'ban' }
    const knock = { authorisingUser, stateKey: '@eve:elsewhere' }
    expect(judge('10', { ...everything, knock })).toMatchObject({ rule: 'auth v10 3' })
    expect(judge('10', { ...everything, federate: true, knock })).toMatchObject({ rule: 'auth v10 4.2' })
    expect(judge('10', { joinRule: 'public', membership: 'ban', knock: { stateKey: '@e:f' } })).toMatchObject({
      rule: 'auth v10 4.7.1',
    })
    expect(judge('10', { membership: 'ban', knock: { stateKey: '@e:f' } })).toMatchObject({ rule: 'auth v10 4.7.2' })
  })

  it('F4 agree with a second implementation on every combination of the vectors', () => {
    interface AuthVectors {
      readonly versions: readonly string[]
      readonly join_rules: readonly (string | null)[]
      readonly memberships: readonly (string | null)[]
      readonly federate: readonly (boolean | null)[]
      readonly knockers: readonly string[]
      readonly other_state_key: string
      readonly rows: number
      readonly accepted: readonly OracleJson[]
    }
    const given = vectors<AuthVectors>('synapse-knock-auth.json')
    const accepted = new Set(given.accepted.map((row) => JSON.stringify(row)))
    let asked = 0
    let allowed = 0
    const ask = (row: readonly [string, string | null, string | null, boolean | null, string, string]) => {
      const [id, joinRule, membership, federate, sender, stateKey] = row
      const verdict = judge(id, {
        joinRule: joinRule ?? undefined,
        ...(membership !== null && { membership }),
        ...(federate !== null && { federate }),
        sender,
        knock: { stateKey },
      })
      expect([row, verdict.allowed]).toEqual([row, accepted.has(JSON.stringify(row))])
      asked += 1
      allowed += verdict.allowed ? 1 : 0
    }
    for (const id of given.versions) {
      for (const sender of given.knockers) {
        ask([id, 'knock', null, null, sender, given.other_state_key])
        for (const joinRule of given.join_rules) {
          for (const membership of given.memberships) {
            for (const federate of given.federate) ask([id, joinRule, membership, federate, sender, sender])
          }
        }
      }
    }
    expect([asked, allowed]).toEqual([given.rows, accepted.size])
  })

  it('F9 find the server of an authorising user, or none', () => {
    const via = (value: OracleJson) =>
      authorisingServer(
        pduOf(knockFields({ content: { membership: 'knock', join_authorised_via_users_server: value } })),
      )
    expect(via('@host:here.test:8448')).toBe('here.test:8448')
    for (const value of ['host:here.test', '', 1, null, ['@host:here.test'], '@host:bad name']) {
      expect(via(value)).toBeUndefined()
    }
    expect(authorisingServer(pduOf(knockFields()))).toBeUndefined()
  })

  it('read a membership only where it is a string', () => {
    expect(membershipOf(undefined)).toBeUndefined()
    expect(membershipOf(stateEvent('m.room.member', {}))).toBeUndefined()
    expect(membershipOf(stateEvent('m.room.member', { membership: ['ban'] }))).toBeUndefined()
    expect(membershipOf(stateEvent('m.room.member', { membership: 'ban' }))).toBe('ban')
  })

  it('know every version', () => {
    expect(ROOM_VERSIONS).toEqual(expect.arrayContaining(KNOCKABLE))
  })
})
