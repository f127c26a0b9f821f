/** Shapes of knocks, each wrong or odd in one place. */
import { createIdentity, type Json, type JsonRecord } from '../../support/signing.ts'
import { written } from './handwritten.ts'
import { knock, type Shape } from './toolbox.ts'

/** As many lists as that, one in the other. */
export function nested(levels: number): Json {
  let value: Json = 1
  for (let level = 0; level < levels; level++) value = [value]
  return value
}

const MAX_EVENT_BYTES = 65_536
/** What hashes, signatures and the fields of a knock take of it, and some more. */
const SPARED_BYTES = 1500
const CONTROL = '\u0000\u0001\u001b[31m\u007f\u0085\u009b'
const BIDIRECTIONAL = '\u202e\u2066\u200f'

function withContent(more: JsonRecord): (draft: JsonRecord) => JsonRecord {
  return (draft) => ({ ...draft, content: { ...(draft.content as JsonRecord), ...more } })
}

function withKeys(more: JsonRecord): (draft: JsonRecord) => JsonRecord {
  return (draft) => ({ ...draft, ...more })
}

/** Parsed, because a literal would not make a key of `__proto__`. */
const TAMPERING: JsonRecord = JSON.parse(
  '{"__proto__":{"membership":"join"},"constructor":"x","toString":1,"hasOwnProperty":null,"then":"x"}',
)
const LIKE_INTEGERS: JsonRecord = { '10': 1, '9': 2, '-1': 3, '01': 4, '4294967295': 5 }

const CONTENTS: readonly Shape[] = [
  knock({ title: 'content nested 110 lists deep', changes: withContent({ nest: nested(110) }) }),
  knock({ title: 'content nested 98 lists deep', changes: withContent({ nest: nested(98) }) }),
  knock({ title: 'content with keys of Object.prototype', changes: withContent(TAMPERING) }),
  knock({ title: 'content with keys like integers', changes: withContent(LIKE_INTEGERS) }),
  knock({
    title: 'names and a reason of the wrong types',
    changes: withContent({ displayname: 5, avatar_url: ['x'], reason: { a: nested(5) }, is_direct: 'yes' }),
  }),
  knock({
    title: 'U+0000, control and bidirectional characters in name and reason',
    changes: withContent({ displayname: CONTROL, reason: BIDIRECTIONAL, [CONTROL]: BIDIRECTIONAL }),
  }),
  knock({ title: 'third_party_invite', changes: withContent({ third_party_invite: { signed: { mxid: 5 } } }) }),
  knock({
    title: 'third_party_invite, version 10',
    version: '10',
    changes: withContent({ third_party_invite: { display_name: 'x', signed: nested(3) } }),
  }),
  knock({
    title: 'join_authorised_via_users_server',
    changes: withContent({ join_authorised_via_users_server: '@nobody:nowhere.example' }),
  }),
  knock({
    title: 'join_authorised_via_users_server that is a list',
    changes: withContent({ join_authorised_via_users_server: nested(2) }),
  }),
  knock({
    title: '64 KB of text',
    changes: withContent({ reason: 'x'.repeat(MAX_EVENT_BYTES - SPARED_BYTES) }),
  }),
  knock({
    title: '64 KB of empty objects',
    changes: withContent({ many: Array.from({ length: (MAX_EVENT_BYTES - SPARED_BYTES) / 3 }, () => ({})) }),
  }),
]

const TEXTS: readonly Shape[] = [
  knock({ title: 'the number 1.0', changes: withContent({ n: written('1.0') }) }),
  knock({ title: 'the number 1e3', changes: withContent({ n: written('1e3', { synapse: '1000.0' }) }) }),
  knock({ title: 'the number 1E3', changes: withContent({ n: written('1E3', { synapse: '1000.0' }) }) }),
  knock({ title: 'the number 0.0', changes: withContent({ n: written('0.0') }) }),
  knock({ title: 'the number 0e0', changes: withContent({ n: written('0e0', { synapse: '0.0' }) }) }),
  knock({
    title: 'the number -0',
    changes: withContent({ n: written('-0', { synapse: '0', dendrite: '0' }) }),
  }),
  knock({ title: 'the number 2^60', changes: withContent({ n: written('1152921504606846976') }) }),
  knock({ title: 'the number 1e400', changes: withContent({ n: written('1e400', { synapse: 'Infinity' }) }) }),
  knock({
    title: 'a lone surrogate',
    changes: withContent({ reason: written('"x\\ud800y"', { dendrite: '"xy"' }) }),
  }),
  knock({ title: 'bytes that are no UTF-8', changes: withContent({ reason: written('"x\xffy\xed\xa0\x80"') }) }),
  knock({ title: 'a key twice in its content', changes: withContent({ a: written('1,"a":2', { synapse: '2' }) }) }),
  knock({ title: 'a top-level key twice', changes: withKeys({ odd: written('1,"odd":2', { synapse: '2' }) }) }),
]

const KEYS: readonly Shape[] = [
  knock({ title: 'top-level keys of Object.prototype', changes: withKeys(TAMPERING) }),
  knock({ title: 'top-level keys like integers', changes: withKeys(LIKE_INTEGERS) }),
  knock({
    title: 'top-level keys that are large, empty or full of control characters',
    changes: withKeys({ ['k'.repeat(5000)]: 1, '': 2, [CONTROL]: 3, [BIDIRECTIONAL]: 4, 'm.relates_to': nested(20) }),
  }),
  knock({
    title: 'top-level keys that differ from the usual ones in case alone',
    changes: withKeys({ TYPE: 'm.room.create', State_Key: '', Content: { membership: 'join' }, Depth: 1 }),
  }),
  knock({ title: 'event_id', changes: withKeys({ event_id: '$somethingelse' }) }),
  knock({
    title: 'origin and membership of wrong types, version 10',
    version: '10',
    changes: withKeys({ origin: ['x'], membership: { x: 1 }, prev_state: 5 }),
  }),
  knock({ title: 'origin and membership of wrong types', changes: withKeys({ origin: 5, membership: nested(3) }) }),
  knock({ title: 'redacts', changes: withKeys({ redacts: ['$x'] }) }),
  knock({ title: 'a depth of 2^53 - 1', changes: withKeys({ depth: Number.MAX_SAFE_INTEGER }) }),
  knock({ title: 'a depth of 2^53 - 2', changes: withKeys({ depth: Number.MAX_SAFE_INTEGER - 1 }) }),
  knock({ title: 'a time before 1970', changes: withKeys({ origin_server_ts: -1 }) }),
  knock({ title: 'a time of 2^53 - 1', changes: withKeys({ origin_server_ts: Number.MAX_SAFE_INTEGER }) }),
]

/** What follows the colon should have letters, digits and underscores alone. */
export const ODD_KEY_ID = 'ed25519:i+b2'

const PROOFS: readonly Shape[] = [
  knock({ title: 'hashes that are no strings', finish: { hashes: { other: 5, sha512: nested(3) } } }),
  knock({ title: 'a hash that is no string', finish: { hashes: { sha256: 5 } } }),
  knock({ title: 'a wrong hash', finish: { hashes: { sha256: 'x'.repeat(43) } } }),
  knock({
    title: 'signatures that are none',
    finish: { onTheWay: (pdu) => withSignatures(pdu, (theirs) => ({ ...theirs, 'ed25519:x': 'no', rot13: '' })) },
  }),
  knock({
    title: 'a signature of another server',
    finish: { alsoSigns: [createIdentity('another.example', ODD_KEY_ID)] },
  }),
  knock({
    title: 'unsigned of odd values',
    finish: {
      onTheWay: (pdu) => ({
        ...pdu,
        unsigned: {
          age: 'x',
          knock_room_state: 5,
          prev_content: nested(110),
          redacted_because: nested(3),
          ...TAMPERING,
        },
      }),
    },
  }),
  knock({ title: 'unsigned that is a list', finish: { onTheWay: (pdu) => ({ ...pdu, unsigned: nested(2) }) } }),
]

/** Changes the signatures of the sender's server. */
function withSignatures(pdu: JsonRecord, change: (theirs: JsonRecord) => JsonRecord): JsonRecord {
  const signatures = pdu.signatures as JsonRecord
  return {
    ...pdu,
    signatures: Object.fromEntries(
      Object.entries(signatures).map(([name, theirs]) => [name, change(theirs as JsonRecord)]),
    ),
  }
}

let names = 0

function fresh(): number {
  names += 1
  return names
}

const NAMES: readonly Shape[] = [
  knock({ title: 'a user id with upper case and spaces', userId: (server) => `@Some Body ${fresh()}:${server}` }),
  knock({ title: 'a user id with an empty localpart', userId: (server) => `@:${server}` }),
  knock({ title: 'a user id with control characters', userId: (server) => `@${CONTROL}${fresh()}:${server}` }),
  knock({ title: 'a user id with bidirectional marks', userId: (server) => `@${BIDIRECTIONAL}${fresh()}:${server}` }),
  knock({ title: 'a user id with letters of other scripts', userId: (server) => `@жучок${fresh()}:${server}` }),
  knock({
    title: 'a user id of 255 bytes',
    userId: (server) => `@${String(fresh()).padEnd(255 - server.length - 2, 'x')}:${server}`,
  }),
  knock({
    title: 'a user id of more than 255 bytes and 255 characters at most, version 10',
    version: '10',
    userId: (server) => `@${String(fresh()).padEnd(250 - server.length, 'ж')}:${server}`,
  }),
]

export const SHAPES_OF_KNOCKS: readonly Shape[] = [...CONTENTS, ...TEXTS, ...KEYS, ...PROOFS, ...NAMES]
