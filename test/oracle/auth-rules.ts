/**
 * Reference for the authorisation of a knock: the specification's rules as a table, in their order, with their numbers.
 * https://spec.matrix.org/v1.19/rooms/v7/#authorization-rules and the same section of every later version.
 */

/** An entry of the event's `auth_events`, as far as the rules look at it. */
export interface OracleAuthEvent {
  readonly type: string
  readonly stateKey: string
  readonly roomId: string
  readonly rejected: boolean
}

/** Everything that the rules ask about a knock. */
export interface KnockCase {
  readonly roomId: string
  readonly sender: string
  readonly stateKey: string | undefined
  /** `content.membership` is there; in this table it is always `knock`. */
  readonly hasMembership: boolean
  /** `content.join_authorised_via_users_server`: absent, or there with or without that server's signature. */
  readonly authorisedVia: 'absent' | 'signed' | 'unsigned'
  readonly authEvents: readonly OracleAuthEvent[]
  /** The room id, with `$` for `!`, is an accepted create event. */
  readonly roomIdIsCreateEvent: boolean
  readonly createSender: string
  /** The value of `content["m.federate"]`, undefined where it is absent. */
  readonly federate: unknown
  readonly joinRule: unknown
  /** The sender's membership in the state at hand. */
  readonly membership: string | undefined
}

type Outcome = 'reject' | 'allow'
type Condition = (knock: KnockCase) => boolean
type Row = readonly [rule: string, condition: Condition, outcome: Outcome]

function domain(userId: string): string {
  return userId.slice(userId.indexOf(':') + 1)
}

function pair(event: { readonly type: string; readonly stateKey: string }): string {
  return JSON.stringify([event.type, event.stateKey])
}

function duplicates(knock: KnockCase): boolean {
  return new Set(knock.authEvents.map(pair)).size !== knock.authEvents.length
}

function extraneous(withCreate: boolean): Condition {
  return (knock) => {
    const selected = [
      { type: 'm.room.power_levels', stateKey: '' },
      { type: 'm.room.join_rules', stateKey: '' },
      { type: 'm.room.member', stateKey: knock.sender },
      ...(withCreate ? [{ type: 'm.room.create', stateKey: '' }] : []),
    ].map(pair)
    return knock.authEvents.some((event) => !selected.includes(pair(event)))
  }
}

const rejectedEntry: Condition = (knock) => knock.authEvents.some((event) => event.rejected)
const noCreate: Condition = (knock) => !knock.authEvents.some((event) => event.type === 'm.room.create')
const foreignEntry: Condition = (knock) => knock.authEvents.some((event) => event.roomId !== knock.roomId)
const unfederated: Condition = (knock) =>
  knock.federate === false && domain(knock.sender) !== domain(knock.createSender)
const incomplete: Condition = (knock) => knock.stateKey === undefined || !knock.hasMembership
const unsignedVia: Condition = (knock) => knock.authorisedVia === 'unsigned'
const notKnock: Condition = (knock) => knock.joinRule !== 'knock'
const notKnockable: Condition = (knock) => knock.joinRule !== 'knock' && knock.joinRule !== 'knock_restricted'
const forSomebodyElse: Condition = (knock) => knock.sender !== knock.stateKey
const outside: Condition = (knock) => !['ban', 'invite', 'join'].includes(knock.membership ?? '')
const always: Condition = () => true

const V7: readonly Row[] = [
  ['2.1', duplicates, 'reject'],
  ['2.2', extraneous(true), 'reject'],
  ['2.3', rejectedEntry, 'reject'],
  ['2.4', noCreate, 'reject'],
  ['2.5', foreignEntry, 'reject'],
  ['3', unfederated, 'reject'],
  ['4.1', incomplete, 'reject'],
  ['4.6.1', notKnock, 'reject'],
  ['4.6.2', forSomebodyElse, 'reject'],
  ['4.6.3', outside, 'allow'],
  ['4.6.4', always, 'reject'],
]
const V8: readonly Row[] = [
  ['2.1', duplicates, 'reject'],
  ['2.2', extraneous(true), 'reject'],
  ['2.3', rejectedEntry, 'reject'],
  ['2.4', noCreate, 'reject'],
  ['2.5', foreignEntry, 'reject'],
  ['3', unfederated, 'reject'],
  ['4.1', incomplete, 'reject'],
  ['4.2', unsignedVia, 'reject'],
  ['4.7.1', notKnock, 'reject'],
  ['4.7.2', forSomebodyElse, 'reject'],
  ['4.7.3', outside, 'allow'],
  ['4.7.4', always, 'reject'],
]
const V10: readonly Row[] = [
  ['2.1', duplicates, 'reject'],
  ['2.2', extraneous(true), 'reject'],
  ['2.3', rejectedEntry, 'reject'],
  ['2.4', noCreate, 'reject'],
  ['2.5', foreignEntry, 'reject'],
  ['3', unfederated, 'reject'],
  ['4.1', incomplete, 'reject'],
  ['4.2', unsignedVia, 'reject'],
  ['4.7.1', notKnockable, 'reject'],
  ['4.7.2', forSomebodyElse, 'reject'],
  ['4.7.3', outside, 'allow'],
  ['4.7.4', always, 'reject'],
]
const V12: readonly Row[] = [
  ['2', (knock) => !knock.roomIdIsCreateEvent, 'reject'],
  ['3.1', duplicates, 'reject'],
  ['3.2', extraneous(false), 'reject'],
  ['3.3', rejectedEntry, 'reject'],
  ['3.5', foreignEntry, 'reject'],
  ['4', unfederated, 'reject'],
  ['5.1', incomplete, 'reject'],
  ['5.2', unsignedVia, 'reject'],
  ['5.7.1', notKnockable, 'reject'],
  ['5.7.2', forSomebodyElse, 'reject'],
  ['5.7.3', outside, 'allow'],
  ['5.7.4', always, 'reject'],
]

export const KNOCK_RULES: ReadonlyMap<string, readonly Row[]> = new Map([
  ['7', V7],
  ['8', V8],
  ['9', V8],
  ['10', V10],
  ['11', V10],
  ['12', V12],
])

export interface OracleDecision {
  readonly rule: string
  readonly outcome: Outcome
}

/** Applies the version's table from top to bottom: the first row whose condition holds decides. */
export function oracleKnockDecision(knock: KnockCase, version: string): OracleDecision {
  for (const [rule, condition, outcome] of KNOCK_RULES.get(version) ?? []) {
    if (condition(knock)) return { rule, outcome }
  }
  throw new Error(`room version ${version} has no rule for knocks`)
}
