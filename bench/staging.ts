/** Brings rooms, keys and knocks into a store without the program: quicker than by its commands. */
import type { Decision } from '../src/knock/ports/rooms.ts'
import type { Store } from '../src/knock/ports/store.ts'
import type { EventId, KeyId, RoomId, ServerName, UserId } from '../src/matrix/identifiers.ts'
import type { Pdu, RoomEvent } from '../src/matrix/pdu.ts'
import type { SignedEvent } from '../test/support/events.ts'
import { ROOM_VERSION, type Signer } from './native-signing.ts'
import { type BenchRoom, type Knocker, knockOn } from './rooms.ts'

const KEY_LIFETIME_MS = 6 * 86_400_000

/** The keys of servers, as if they had been asked for. */
export async function stageKeys(store: Store, signers: readonly Signer[]): Promise<void> {
  for (const { identity } of signers) {
    const validUntil = Date.now() + KEY_LIFETIME_MS
    await store.writeServerKeys({
      server: identity.name as ServerName,
      fetchedAt: Date.now(),
      keys: [{ keyId: identity.keyId as KeyId, key: identity.publicKey, validUntil, old: false }],
    })
  }
}

export async function stageRoom(store: Store, here: Signer, room: BenchRoom): Promise<void> {
  const staging = await store.beginImport({
    roomId: room.roomId as RoomId,
    version: ROOM_VERSION,
    ownServer: here.identity.name as ServerName,
    discardKnocks: false,
  })
  const state = [...room.core, ...room.members()]
  await staging.addState(state.map((event) => ({ ...asRoomEvent(event), verified: true })))
  await staging.addExtremities(room.tips.map(asRoomEvent))
  const outcome = await staging.swap()
  if (outcome.kind === 'refused') throw new Error(outcome.reason)
}

/** Knocks that arrive together: each builds on the extremities that a template named to all of them. */
const WAVE = 32

/** Records knocks, as if they had been accepted one wave after the other. @returns the extremities that a template names then */
export async function stageKnocks(
  store: Store,
  here: Signer,
  room: BenchRoom,
  knockers: Iterable<Knocker>,
): Promise<readonly string[]> {
  let wave: Knocker[] = []
  const record = async (): Promise<void> => {
    const selection = await store.readExtremities(room.roomId as RoomId)
    const prevEvents = selection?.extremities.map(({ eventId }) => eventId)
    const outcomes = await Promise.all(wave.map((knocker) => commit(store, here, room, knocker, prevEvents)))
    if (!outcomes.every((kind) => kind === 'committed')) throw new Error(`staging knocks: ${outcomes.join(', ')}`)
    wave = []
  }
  for (const knocker of knockers) if (wave.push(knocker) === WAVE) await record()
  if (wave.length > 0) await record()
  const selection = await store.readExtremities(room.roomId as RoomId)
  return selection?.extremities.map(({ eventId }) => eventId) ?? []
}

async function commit(store: Store, here: Signer, room: BenchRoom, knocker: Knocker, prevEvents?: readonly string[]) {
  const event = asRoomEvent(knockOn(room, knocker, prevEvents))
  const outcome = await store.commitKnock({
    roomId: room.roomId as RoomId,
    event,
    sender: knocker.userId as UserId,
    expect: { factsRevision: 1, membership: undefined },
    decision: acceptedDecision(room, knocker, event.eventId),
    skipServers: [here.identity.name, knocker.server.identity.name] as ServerName[],
  })
  return outcome.kind
}

/** The record of a knock that was accepted. */
export function acceptedDecision(room: BenchRoom, { userId, server }: Knocker, eventId: string): Decision {
  return {
    time: Date.now(),
    endpoint: 'send_knock',
    roomId: room.roomId as RoomId,
    userId: userId as UserId,
    origin: server.identity.name as ServerName,
    eventId: eventId as EventId,
    outcome: 'accepted',
    status: 200,
    errcode: undefined,
    rule: 'auth v11 4.7.3',
    reason: 'accepted',
    facts: { roomVersion: ROOM_VERSION, revision: 1, joinRule: 'knock', membership: undefined, ageMs: undefined },
  }
}

function asRoomEvent({ eventId, pdu }: SignedEvent): RoomEvent {
  return { eventId: eventId as EventId, pdu: pdu as unknown as Pdu }
}
