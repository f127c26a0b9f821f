/** A made-up room in the shape of version 10: events with ids and links, unsigned, for tests of stores. */
import type { Decision, KnockCommit } from '../../src/knock/ports/rooms.ts'
import type { ImportHeader, ImportOutcome, SlotFlaw, Store } from '../../src/knock/ports/store.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import type { Pdu, RoomEvent } from '../../src/matrix/pdu.ts'

export const HERE = 'here.test' as ServerName
export const ROOM = '!room:here.test' as RoomId
export const ALICE = '@alice:here.test' as UserId
export const BOB = '@bob:there.test' as UserId
export const CAROL = '@carol:remote.test' as UserId
export const DAVE = '@dave:remote.test' as UserId

export function id(name: string): EventId {
  return `$${name.padEnd(43, '_')}` as EventId
}

export interface EventParts {
  readonly type?: string
  readonly sender?: string
  readonly stateKey?: string
  readonly content?: Record<string, unknown>
  readonly depth?: number
  readonly prev?: readonly string[]
  readonly auth?: readonly string[]
  readonly room?: RoomId
}

/** An event whose id is its name, padded. */
export function event(name: string, parts: EventParts = {}): RoomEvent {
  const { type = 'm.room.message', sender = ALICE, stateKey, content = {}, depth = 1, prev = [], auth = [] } = parts
  const pdu = {
    auth_events: auth.map(id),
    content,
    depth,
    hashes: { sha256: 'x'.repeat(43) },
    origin_server_ts: 1_700_000_000_000,
    prev_events: prev.map(id),
    room_id: parts.room ?? ROOM,
    sender,
    signatures: {},
    ...(stateKey !== undefined && { state_key: stateKey }),
    type,
  }
  return { eventId: id(name), pdu: pdu as unknown as Pdu }
}

export function member(name: string, user: string, membership: string, parts: EventParts = {}): RoomEvent {
  return event(name, { type: 'm.room.member', sender: user, stateKey: user, content: { membership }, ...parts })
}

export function state(name: string, type: string, content: Record<string, unknown>, parts: EventParts = {}): RoomEvent {
  return event(name, { type, stateKey: '', content, ...parts })
}

/** Alice created the room here, Bob joined from elsewhere, everybody may knock; the last event has depth 5. */
export function sampleState(): readonly RoomEvent[] {
  return [
    state('create', 'm.room.create', { room_version: '10', creator: ALICE }),
    member('alice', ALICE, 'join', { depth: 2, prev: ['create'], auth: ['create'] }),
    state('power', 'm.room.power_levels', { users: { [ALICE]: 100 } }, { depth: 3, prev: ['alice'] }),
    state('rules', 'm.room.join_rules', { join_rule: 'knock' }, { depth: 4, prev: ['power'] }),
    member('bob', BOB, 'join', { depth: 5, prev: ['rules'], auth: ['create', 'rules'] }),
  ]
}

export interface ImportParts {
  readonly state?: readonly RoomEvent[]
  readonly chain?: readonly RoomEvent[]
  readonly extremities?: readonly RoomEvent[]
  readonly unverified?: readonly string[]
  readonly flaws?: readonly SlotFlaw[]
  readonly header?: Partial<ImportHeader>
}

/** Imports a room as a file would: state, auth chain, extremities, swap. */
export async function importRoom(store: Store, parts: ImportParts = {}): Promise<ImportOutcome> {
  const { state: events = sampleState(), chain = [], extremities = sampleState().slice(-1), unverified = [] } = parts
  const header = { roomId: ROOM, version: '10', ownServer: HERE, discardKnocks: false, ...parts.header }
  const staging = await store.beginImport(header)
  const doubtful = new Set(unverified.map(id))
  await staging.addState(events.map((item) => ({ ...item, verified: !doubtful.has(item.eventId) })))
  await staging.addFlaws(parts.flaws ?? [])
  await staging.addAuthChain(chain)
  await staging.addExtremities(extremities)
  return staging.swap()
}

/** A knock on the room, with an event that names the given `prev_events`. */
export function knock(name: string, user: UserId, prev: readonly string[], parts: EventParts = {}): RoomEvent {
  return member(name, user, 'knock', { prev, auth: ['create', 'rules', 'power'], depth: 6, ...parts })
}

export function commitOf(event: RoomEvent, factsRevision: number, membership?: string, room = ROOM): KnockCommit {
  const sender = event.pdu.sender as UserId
  const server = sender.slice(sender.indexOf(':') + 1) as ServerName
  return {
    roomId: room,
    event,
    sender,
    expect: { factsRevision, membership },
    decision: decision({ userId: sender, roomId: room, eventId: event.eventId }),
    skipServers: [HERE, server],
  }
}

export function decision(parts: Partial<Decision> = {}): Decision {
  return {
    time: 1,
    endpoint: 'send_knock',
    roomId: ROOM,
    userId: CAROL,
    origin: 'remote.test' as ServerName,
    eventId: undefined,
    outcome: 'accepted',
    status: 200,
    errcode: undefined,
    rule: 'auth v10 4.7.3',
    reason: 'accepted',
    facts: { roomVersion: '10', revision: 1, joinRule: 'knock', membership: undefined, ageMs: undefined },
    ...parts,
  }
}

/** Records a knock against the room as it is now; the outcome. */
export async function accept(store: Store, event: RoomEvent, room = ROOM) {
  const found = await store.readRoom(room, event.pdu.sender as UserId)
  const membership = found?.member?.pdu.content.membership as string | undefined
  return store.commitKnock(commitOf(event, found?.head.factsRevision ?? 0, membership, room))
}

/** The names of the room's extremities as a template would name them, sorted. */
export async function extremityNames(store: Store, room = ROOM): Promise<readonly string[]> {
  const selection = await store.readExtremities(room)
  return (selection?.extremities ?? []).map(({ eventId }) => nameOf(eventId)).sort()
}

export function nameOf(eventId: EventId): string {
  return eventId.slice(1).replace(/_+$/, '')
}

/** What the store says of a branch. */
export async function branchOf(store: Store, prev: string, user: UserId, room = ROOM) {
  const question = { roomId: room, sender: user, eventId: id('none'), prevEvents: [id(prev)], authEvents: [] }
  return (await store.readContext(question))?.branches.get(id(prev))
}

export async function membershipOf(store: Store, user: UserId, room = ROOM): Promise<unknown> {
  return (await store.readRoom(room, user))?.member?.pdu.content.membership
}
