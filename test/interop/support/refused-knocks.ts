/** Every kind of refusal that the service has for one room or one knock. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Fault } from '../../support/faulty-answer.ts'
import type { Call } from '../../support/resident-answers.ts'
import { base64, type Json, type JsonRecord } from '../../support/signing.ts'
import {
  bans,
  buildRoom,
  continueRoom,
  invites,
  joinRule,
  type Line,
  opening,
  says,
  sets,
} from '../../support/test-room.ts'
import { MAX_STATE_AGE_MS, type Place } from './shunning.ts'

export interface RefusedKnock {
  readonly title: string
  /** Which of the two calls is refused. */
  readonly at: 'make_knock' | 'send_knock'
  /** The answer, where it is known beforehand; else any that says no and costs nobody federation. */
  readonly status?: 400 | 403 | 404
  /** Brings it about. @param userId who is going to knock @returns the room */
  arrange(place: Place, userId: string): string
}

/** As Synapse says it of a room that it is still joining. */
const PARTIAL_STATE: Fault = {
  status: 403,
  body: {
    errcode: 'ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE',
    error: 'Unable to handle request due to partial state',
  },
}
const READING: readonly Call[] = ['make_leave', 'make_join', 'state', 'state_ids', 'event', 'backfill']

/** The homeserver answers some calls so. */
function unreadable(title: string, fault: Fault, ...calls: readonly Call[]): RefusedKnock {
  return {
    title,
    at: 'make_knock',
    arrange(place) {
      place.resident.fails(fault, ...calls)
      // Said last, so that what decides about knocks is read as part of the state.
      return place.open(says(place.alice, 'hello')).roomId
    },
  }
}

/** @param story what happened in the room before */
function refusedBy(title: string, story: (place: Place, userId: string) => readonly Line[]): RefusedKnock {
  return {
    title,
    at: 'make_knock',
    status: 403,
    arrange: (place, userId) => place.open(...story(place, userId)).roomId,
  }
}

/** @param branches what each says after the same beginning */
function forked(title: string, branches: (place: Place) => readonly [Line, Line]): RefusedKnock {
  return {
    title,
    at: 'make_knock',
    arrange(place) {
      const room = place.open()
      const [one, other] = branches(place).map((line) => continueRoom(room, [line]))
      if (one === undefined || other === undefined) throw new Error('a fork has two branches')
      place.resident.has([one, other])
      place.resident.joinsRefused = true
      return room.roomId
    },
  }
}

/** An ACL that denies the server that knocks. */
export const DENIED: JsonRecord = { allow: ['*'], deny: ['127.0.0.3'], allow_ip_literals: true }
const ALLOWED: JsonRecord = { allow: ['*'], deny: [], allow_ip_literals: true }

export const ROOMS: readonly RefusedKnock[] = [
  {
    title: 'a room that nobody knows',
    at: 'make_knock',
    status: 404,
    arrange: ({ door }) => `!nowhere:${door.identity.name}`,
  },
  {
    title: 'a room that its last local user left',
    at: 'make_knock',
    status: 404,
    arrange(place) {
      const { roomId } = place.open()
      place.resident.leaves(roomId)
      return roomId
    },
  },
  { ...unreadable('a room with partial state', PARTIAL_STATE, 'state', 'state_ids'), status: 404 },
  { ...unreadable('a room with partial state, said to every call', PARTIAL_STATE, ...READING), status: 404 },
  { ...unreadable('a room whose state is not found', { status: 404 }, 'state', 'state_ids'), status: 404 },
  {
    ...unreadable('a room whose state is an error of the homeserver', { status: 500 }, 'state', 'state_ids'),
    status: 404,
  },
  { ...unreadable('a room whose last event is not found', { status: 404 }, 'event'), status: 404 },
  { ...unreadable('a room whose last event is an error of the homeserver', { status: 500 }, 'event'), status: 404 },
  unreadable('a room whose state breaks off', 'half', 'state'),
  unreadable('a room whose state never comes', 'hang', 'state'),
  unreadable('a room whose state is no JSON', { status: 200, text: '<html>' }, 'state'),
  unreadable('a room that the homeserver is asked for too often', { status: 429 }, ...READING),
  unreadable(
    'a room of a version that is not known here',
    { alter: (body) => ({ ...body, room_version: 'org.example.99' }) },
    'make_leave',
  ),
  unreadable('a room without a create event', { alter: withoutType('m.room.create') }, 'state'),
  {
    ...unreadable('a room whose join rules were changed on the way', { alter: withJoinRule('public') }, 'state'),
    status: 403,
  },
  forked('a room whose branches differ in their join rules', ({ alice }) => [
    joinRule(alice, 'knock'),
    joinRule(alice, 'invite'),
  ]),
  forked('a room whose branches differ in their server ACL', ({ alice }) => [
    sets(alice, 'm.room.server_acl', DENIED),
    sets(alice, 'm.room.server_acl', ALLOWED),
  ]),
  forked('a room whose branches differ in their policy server', ({ alice, door }) => [
    sets(alice, 'm.room.policy', { via: door.identity.name, public_keys: { ed25519: base64(alice.server.publicKey) } }),
    sets(alice, 'm.room.policy', {}),
  ]),
  refusedBy('a room whose ACL denies the server', ({ alice }) => [sets(alice, 'm.room.server_acl', DENIED)]),
  refusedBy('a room with another join rule', ({ alice }) => [joinRule(alice, 'invite')]),
  refusedBy('a banned user', ({ alice }, userId) => [bans(alice, { id: userId, server: alice.server })]),
  refusedBy('an invited user', ({ alice }, userId) => [invites(alice, { id: userId, server: alice.server })]),
  {
    title: 'a room in whose version nobody can knock',
    at: 'make_knock',
    status: 403,
    arrange({ resident, alice }) {
      const room = buildRoom('6', alice, opening(alice, '6'))
      resident.has([room])
      return room.roomId
    },
  },
]

function pdusOf(body: JsonRecord): readonly JsonRecord[] {
  return body.pdus as readonly JsonRecord[]
}

function withoutType(type: string): (body: JsonRecord) => JsonRecord {
  return (body) => ({ ...body, pdus: pdusOf(body).filter((pdu) => pdu.type !== type) })
}

function withJoinRule(rule: string): (body: JsonRecord) => JsonRecord {
  const change = (pdu: JsonRecord): JsonRecord =>
    pdu.type === 'm.room.join_rules' ? { ...pdu, content: { join_rule: rule } } : pdu
  return (body) => ({ ...body, pdus: pdusOf(body).map(change) })
}

/** Something happens in the room between the template and its knock, and the service has the time to see it. */
function overtaken(
  title: string,
  status: 403 | 404,
  happen: (place: Place, roomId: string, userId: string) => void,
): RefusedKnock {
  return {
    title,
    at: 'send_knock',
    status,
    arrange(place, userId) {
      const { roomId } = place.open()
      place.door.before = async () => {
        happen(place, roomId, userId)
        await pause(2 * MAX_STATE_AGE_MS)
      }
      return roomId
    },
  }
}

/** The knocking server signs what a template says. */
function malformed(title: string, changes: JsonRecord): RefusedKnock {
  return {
    title,
    at: 'send_knock',
    arrange(place) {
      place.door.alter = (event) => ({ ...event, ...changes })
      return place.open().roomId
    },
  }
}

/** The homeserver does something else with a knock that is handed over. */
export function handedOver(title: string, fault: Fault, ...calls: readonly Call[]): RefusedKnock {
  return {
    title,
    at: 'send_knock',
    arrange(place) {
      place.door.before = async () => place.resident.fails(fault, ...calls)
      return place.open().roomId
    },
  }
}

const UNKNOWN_EVENT = `$${'A'.repeat(43)}`
const TWENTY_ONE: Json = Array.from({ length: 21 }, (_, index) => `$${String(index).padStart(43, 'A')}`)

export const KNOCKS: readonly RefusedKnock[] = [
  overtaken('a user who was banned since', 403, ({ resident, alice }, roomId, userId) => {
    resident.happens(roomId, bans(alice, { id: userId, server: alice.server }))
  }),
  overtaken('a join rule that changed since', 403, ({ resident, alice }, roomId) => {
    resident.happens(roomId, joinRule(alice, 'invite'))
  }),
  overtaken('an ACL that denies the server since', 403, ({ resident, alice }, roomId) => {
    resident.happens(roomId, sets(alice, 'm.room.server_acl', DENIED))
  }),
  overtaken('a room that was left since', 404, ({ resident }, roomId) => resident.leaves(roomId)),
  overtaken('a room whose state is partial since', 404, ({ resident }) => {
    resident.fails(PARTIAL_STATE, ...READING)
  }),
  malformed('a knock with the greatest depth', { depth: Number.MAX_SAFE_INTEGER }),
  malformed('a knock on events that nobody knows', { prev_events: [UNKNOWN_EVENT] }),
  malformed('a knock on no events', { prev_events: [] }),
  malformed('a knock on 21 events', { prev_events: TWENTY_ONE }),
  malformed('a knock by the authority of events that nobody knows', { auth_events: [UNKNOWN_EVENT] }),
  malformed('a knock with a third_party_invite', { content: { membership: 'knock', third_party_invite: {} } }),
]

/** With `handover: inject`. */
export const INJECTED: readonly RefusedKnock[] = [
  handedOver('a knock that is put in and not seen, because the room cannot be read', 'hang', 'make_leave'),
  handedOver(
    'a knock that is put in and not seen, because the room is an error now',
    { status: 500 },
    'make_leave',
    'state_ids',
  ),
  handedOver('a knock that is put in and dropped', { status: 200, body: { pdus: {} } }, 'send'),
  handedOver('a knock that is not put in', { status: 403 }, 'send'),
  handedOver('a knock that is an error of the homeserver', { status: 500 }, 'send'),
  handedOver('a knock that is put in too soon after others', { status: 429 }, 'send'),
  handedOver('a knock to which the homeserver says nothing, and nothing to be seen', 'hang', 'send', 'make_leave'),
  handedOver('a knock at which the homeserver hangs up, and nothing to be seen', 'close', 'send', 'make_leave'),
]

/** With `handover: forward`. */
export const FORWARDED: readonly RefusedKnock[] = [
  handedOver(
    'a knock that the homeserver refuses',
    { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'no' } },
    'send_knock',
  ),
  handedOver('a knock that the homeserver does not find authentic', { status: 401 }, 'send_knock'),
  handedOver('a knock on a room that the homeserver does not know', { status: 404 }, 'send_knock'),
  handedOver('a knock too many for the homeserver', { status: 429 }, 'send_knock'),
  handedOver('a knock that is an error of the homeserver', { status: 500 }, 'send_knock'),
  handedOver('a knock that the homeserver answers with nonsense', { status: 200, text: '<html>' }, 'send_knock'),
  handedOver('a knock to which the homeserver says nothing', 'hang', 'send_knock'),
  handedOver('a knock at which the homeserver hangs up, and nothing to be seen', 'close', 'send_knock', 'make_leave'),
]

/** With `template: upstream`. */
export const TEMPLATES: readonly RefusedKnock[] = [
  unreadable(
    'a template that the homeserver refuses',
    { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'no' } },
    'make_knock',
  ),
  unreadable('a template that the homeserver finds not authentic', { status: 401 }, 'make_knock'),
  unreadable('a template too many for the homeserver', { status: 429 }, 'make_knock'),
  unreadable('a template that is an error of the homeserver', { status: 500 }, 'make_knock'),
  unreadable('a template that is nonsense', { status: 200, text: '<html>' }, 'make_knock'),
  unreadable('a template that never comes', 'hang', 'make_knock'),
]
