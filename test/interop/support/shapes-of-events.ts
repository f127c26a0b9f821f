/** Shapes of other events than knocks, by a member of the room. */
import type { JsonRecord } from '../../support/signing.ts'
import { written } from './handwritten.ts'
import { nested } from './shapes-of-knocks.ts'
import { event, memberEvent, type Scene, type Shape, sendPast } from './toolbox.ts'

const MODERATOR = 50
/** The most that a type or a state key may have. */
const MAX_BYTES = 255

function state(title: string, type: string, content: JsonRecord, stateKey = ''): Shape {
  return event(title, MODERATOR, { type, stateKey, content })
}

const MESSAGES: readonly Shape[] = [
  event('a message nested 110 lists deep', 0, { type: 'm.room.message', content: { body: nested(110) } }),
  event('a message with a number 0.0', 0, { type: 'm.room.message', content: { body: written('0.0') } }),
  event('a message with a key twice', 0, {
    type: 'm.room.message',
    content: { a: written('1,"a":2', { synapse: '2' }) },
  }),
  event('a message with bytes that are no UTF-8', 0, { type: 'm.room.message', content: { body: written('"\xff"') } }),
  event(
    'a message with hashes that are no strings',
    0,
    { type: 'm.room.message', content: { body: 'x' } },
    { hashes: { other: 5 } },
  ),
  event('a message whose type is empty', 0, { type: '', content: {} }),
  event('a message whose type has control characters', 0, { type: 'm.\u0000\u202e\n', content: {} }),
]

const STATES: readonly Shape[] = [
  state('state nested 110 lists deep', 'org.example.state', { nest: nested(110) }),
  state('a topic nested 110 lists deep', 'm.room.topic', { topic: nested(110) }),
  state('a topic with a number 0.0', 'm.room.topic', { topic: 'x', n: written('0.0') }),
  state('a topic with bytes that are no UTF-8', 'm.room.topic', { topic: written('"\xff"') }),
  state('a topic with a key twice', 'm.room.topic', { topic: 'x', a: written('1,"a":2', { synapse: '2' }) }),
  state('a name that is a number', 'm.room.name', { name: 5 }),
  state('a topic of objects', 'm.room.topic', { topic: { a: nested(5) }, 'm.topic': 5 }),
  state('an avatar that is a list', 'm.room.avatar', { url: [], info: 'x' }),
  state('an alias of a wrong type', 'm.room.canonical_alias', { alias: 5, alt_aliases: 'x' }),
  state('encryption of a wrong type', 'm.room.encryption', { algorithm: ['x'] }),
  state('a name with an odd state key', 'm.room.name', { name: 'x' }, '__proto__'),
  state('a type and a state key of 255 bytes', 'x'.repeat(MAX_BYTES), {}, 'ж'.repeat((MAX_BYTES - 1) / 2)),
  state('state of an empty type', '', {}, ''),
  state('state of the type __proto__', '__proto__', { x: 1 }, 'constructor'),
  state('state with control characters in type and state key', 'm.\u0000\u202e', {}, '\u0000\n\u001b\u2066'),
  state('64 KB of topic', 'm.room.topic', { topic: 'x'.repeat(64_000) }),
]

const MEMBER = 'm.room.member'

const MEMBERS: readonly Shape[] = [
  member('an invitation of “garbage”', 0, 'garbage', 'invite'),
  member('a leave of “garbage” without power', 0, 'garbage', 'leave'),
  member('a kick of “garbage”', MODERATOR, 'garbage', 'leave'),
  member('a ban of “garbage”', MODERATOR, 'garbage', 'ban'),
  member('a ban of nobody', MODERATOR, '', 'ban'),
  member('a ban of a name without a server', MODERATOR, '@x:', 'ban'),
  member('a ban of a room', MODERATOR, '!x:example.org', 'ban'),
  member('a ban of a name with U+0000 and a bidirectional mark', MODERATOR, '@\u0000\u202e:example.org', 'ban'),
  ownProfile('a member’s name nested 110 lists deep', { displayname: nested(110) }),
  ownProfile('a member’s name that is a number', { displayname: 5, avatar_url: {} }),
  ownProfile('a member’s name with a number 0.0', { displayname: written('0.0') }),
]

/** An event of the stranger's member about the membership of whatever a state key says. */
function member(title: string, power: number, stateKey: string, membership: string): Shape {
  return event(title, power, { type: MEMBER, stateKey, content: { membership } })
}

/** The stranger's member joins again with another profile. */
function ownProfile(title: string, profile: JsonRecord): Shape {
  const content = { membership: 'join', ...profile }
  const bring = async (scene: Scene) => {
    const draft = { type: MEMBER, stateKey: scene.room.third.id, content }
    return sendPast(scene, await memberEvent(scene, draft))
  }
  return { title, ways: [{ name: '/send', bring }] }
}

export const SHAPES_OF_EVENTS: readonly Shape[] = [...MESSAGES, ...STATES, ...MEMBERS]
