import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkAuthEvents } from '../../src/matrix/auth/auth-events.ts'
import { authoriseKnock } from '../../src/matrix/auth/knock-rules.ts'
import type { EventId } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import { type KnockCase, oracleKnockDecision } from '../oracle/auth-rules.ts'
import type { OracleJson } from '../oracle/json-value.ts'
import { knockFields, pduOf, version } from './given.ts'

const CREATE_ID = `$${'C'.repeat(43)}`
const OTHER_ID = `!${'D'.repeat(43)}`
const knockable = fc.constantFrom('7', '8', '9', '10', '11', '12')
const user = fc.constantFrom(
  '@alice:here.test',
  '@bob:there.test',
  '@eve:there.test:8448',
  '@:there.test',
  '@:here.test',
)

const knockCase: fc.Arbitrary<KnockCase> = fc
  .record({
    roomIdIsCreateEvent: fc.boolean(),
    sender: user,
    stateKey: user,
    sameUser: fc.integer({ min: 0, max: 4 }).map((chance) => chance > 0),
    authorisedVia: fc.constantFrom('absent', 'absent', 'signed', 'unsigned'),
    createSender: user,
    federate: fc.constantFrom<OracleJson | undefined>(undefined, true, false, false, 'false', 0, null),
    joinRule: fc.constantFrom<OracleJson | undefined>(
      'knock',
      'knock',
      'knock_restricted',
      'public',
      'invite',
      undefined,
      1,
    ),
    membership: fc.constantFrom(undefined, 'leave', 'knock', 'join', 'invite', 'ban', 'other'),
  } as const)
  .map(({ sameUser, stateKey, ...given }) => ({
    ...given,
    stateKey: sameUser ? given.sender : stateKey,
    roomId: given.roomIdIsCreateEvent ? `!${CREATE_ID.slice(1)}` : OTHER_ID,
    hasMembership: true,
    authEvents: [],
  }))

function eventOf(type: string, stateKey: string, roomId: string, content: OracleJson, sender: string): RoomEvent {
  const fields = knockFields({ type, state_key: stateKey, room_id: roomId, content, sender })
  return { eventId: CREATE_ID as EventId, pdu: pduOf(fields) }
}

/** What the table decides where the auth events are in order: they have a property of their own. */
function decideState(given: KnockCase, id: string) {
  const create = { type: 'm.room.create', stateKey: '', roomId: given.roomId, rejected: false }
  return oracleKnockDecision({ ...given, authEvents: id === '12' ? [] : [create] }, id)
}

function judgeState(given: KnockCase, id: string) {
  const content = given.federate === undefined ? {} : { 'm.federate': given.federate as OracleJson }
  const rules = given.joinRule === undefined ? {} : { join_rule: given.joinRule as OracleJson }
  const member =
    given.membership === undefined
      ? undefined
      : eventOf('m.room.member', given.sender, given.roomId, { membership: given.membership }, given.sender)
  const authorisingUser = { userId: '@host:here.test', signed: given.authorisedVia === 'signed' }
  return authoriseKnock(
    {
      sender: given.sender,
      stateKey: given.stateKey ?? '',
      roomId: given.roomId,
      ...(given.authorisedVia !== 'absent' && { authorisingUser }),
    },
    {
      create: eventOf('m.room.create', '', given.roomId, content, given.createSender),
      joinRules: eventOf('m.room.join_rules', '', given.roomId, rules, given.createSender),
      member,
    },
    version(id),
  )
}

const authEvent = fc.record({
  type: fc.constantFrom('m.room.create', 'm.room.power_levels', 'm.room.join_rules', 'm.room.member', 'm.room.name'),
  stateKey: fc.constantFrom('', '', '', '@bob:there.test', '@bob:there.test', '@eve:there.test:8448'),
  roomId: fc.constantFrom(OTHER_ID, OTHER_ID, OTHER_ID, OTHER_ID, '!foreign:room.test'),
  rejected: fc.constant(false),
})

describe('auth rules, for any knock', () => {
  it("F3 decide as the specification's table does, by the same rule", () => {
    fc.assert(
      fc.property(knockCase, knockable, (given, id) => {
        const { rule, outcome } = decideState(given, id)
        expect(judgeState(given, id)).toMatchObject({ rule: `auth v${id} ${rule}`, allowed: outcome === 'allow' })
      }),
      { numRuns: 2_000 },
    )
  })

  it("F3 judge the auth events as the specification's table does, by the same rule", () => {
    const base: KnockCase = {
      roomId: OTHER_ID,
      sender: '@bob:there.test',
      stateKey: '@bob:there.test',
      hasMembership: true,
      authorisedVia: 'absent',
      authEvents: [],
      roomIdIsCreateEvent: true,
      createSender: '@alice:here.test',
      federate: undefined,
      joinRule: 'knock',
      membership: undefined,
    }
    const knock = pduOf(knockFields({ room_id: OTHER_ID }))
    fc.assert(
      fc.property(fc.array(authEvent, { maxLength: 5 }), knockable, (authEvents, id) => {
        const { rule, outcome } = oracleKnockDecision({ ...base, authEvents }, id)
        const events = authEvents.map(({ type, stateKey, roomId }) => eventOf(type, stateKey, roomId, {}, '@a:b'))
        const create = eventOf('m.room.create', '', OTHER_ID, {}, '@alice:here.test')
        const verdict = checkAuthEvents(knock, events, create, version(id))
        if (outcome === 'allow') expect(verdict.allowed).toBe(true)
        else expect(verdict).toMatchObject({ allowed: false, rule: `auth v${id} ${rule}` })
      }),
      { numRuns: 2_000 },
    )
  })
})
