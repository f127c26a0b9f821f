/** What the properties are asked about: JSON with awkward keys, events, names. */
import fc from 'fast-check'
import { type OracleJson, type OracleObject, objectOf } from '../oracle/json-value.ts'

/** Text of any code points. */
export const text = fc.string({ unit: 'binary', maxLength: 12 })

/** Keys that parsers, sorters and plain objects get wrong. */
export const awkwardKey = fc.constantFrom(
  '',
  '0',
  '9',
  '10',
  '-1',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '\u0000',
  '"',
  '\\',
  '\ue000',
  '\ufb33',
  '\uffff',
  '\u{10000}',
  '\u{1f600}',
)

const key = fc.oneof(awkwardKey, text)

const scalar: fc.Arbitrary<OracleJson> = fc.oneof(
  fc.constantFrom<OracleJson>(null, true, false, 0, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER),
  fc.maxSafeInteger().map((value) => value + 0),
  text,
)

/** An object with the given values under keys of any kind. */
export function objectWith(value: fc.Arbitrary<OracleJson>): fc.Arbitrary<OracleObject> {
  return fc
    .uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 6 })
    .map((entries) => objectOf(entries))
}

/** JSON that has a canonical form. */
export const json: fc.Arbitrary<OracleJson> = fc.letrec<{ value: OracleJson }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 5 }),
    objectWith(tie('value')),
  ),
})).value

export const jsonObject = objectWith(json)

const eventType = fc.constantFrom(
  'm.room.member',
  'm.room.create',
  'm.room.join_rules',
  'm.room.power_levels',
  'm.room.history_visibility',
  'm.room.aliases',
  'm.room.redaction',
  'm.room.message',
  'constructor',
  '__proto__',
)

const contentKey = fc.oneof(
  fc.constantFrom(
    'membership',
    'join_authorised_via_users_server',
    'creator',
    'join_rule',
    'allow',
    'ban',
    'events',
    'events_default',
    'invite',
    'kick',
    'redact',
    'state_default',
    'users',
    'users_default',
    'notifications',
    'history_visibility',
    'aliases',
    'redacts',
    'm.federate',
  ),
  awkwardKey,
)

const thirdPartyInvite = fc.oneof(json, fc.record({ signed: json, display_name: text }), fc.record({ signed: json }))

const content = fc
  .tuple(
    fc.uniqueArray(fc.tuple(contentKey, json), { selector: ([name]) => name, maxLength: 6 }),
    fc.option(thirdPartyInvite, { nil: undefined }),
  )
  .map(([entries, invite]) => {
    const all: [string, OracleJson][] = [...entries]
    if (invite !== undefined) all.push(['third_party_invite', invite])
    return objectOf(all)
  })

const extraTopKey = fc.oneof(
  fc.constantFrom('origin', 'prev_state', 'membership', 'redacts', 'unsigned', 'event_id', 'age_ts', 'state_key'),
  awkwardKey,
)

/** An event with the keys that every event has, further ones, and a content of any kind. */
export const event: fc.Arbitrary<OracleObject> = fc
  .tuple(
    eventType,
    content,
    fc.uniqueArray(fc.tuple(extraTopKey, json), { selector: ([name]) => name, maxLength: 5 }),
    fc.nat(),
  )
  .map(([type, held, extra, depth]) =>
    objectOf([
      ...extra,
      ['type', type],
      ['content', held],
      ['sender', '@a:b'],
      ['room_id', '!r:b'],
      ['origin_server_ts', 1],
      ['depth', depth],
      ['prev_events', []],
      ['auth_events', []],
      ['hashes', { sha256: 'h' }],
      ['signatures', { b: { 'ed25519:1': 's' } }],
    ]),
  )

const label = fc.string({ unit: fc.constantFrom(...'abcxyzABC019-'), minLength: 1, maxLength: 5 })

/** Host names, addresses and literals, with and without a port. */
export const serverName: fc.Arbitrary<string> = fc
  .tuple(
    fc.oneof(
      fc
        .tuple(fc.constantFrom('a', 'b', 'evil', 'Evil'), fc.array(label, { maxLength: 3 }))
        .map(([first, rest]) => [first, ...rest].join('.')),
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`),
    ),
    fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
  )
  .map(([host, port]) => (port === undefined ? host : `${host}:${port}`))

/** Glob patterns that have a chance to match server names. */
export const glob: fc.Arbitrary<string> = fc.string({
  unit: fc.constantFrom('*', '*', '?', '.', 'a', 'b', 'e', 'v', 'i', 'l', 'E', '1', '[', ']', ':', '-', '\\', '+'),
  maxLength: 8,
})

export const roomVersionId = fc.constantFrom('1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12')
