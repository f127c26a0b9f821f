/** A homeserver put together over a fake one on loopback, with a memory store and a clock that tests turn on. */
import { createHomeserver, type Homeserver, type HomeserverOptions } from '../../src/homeserver/homeserver.ts'
import type { KnockToHandOver, RoomFreshness } from '../../src/knock/ports/homeserver.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import { nativeEd25519, type SigningKey } from '../../src/matrix/ed25519.ts'
import type { KeyId, RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import { HERE, REMOTE, THERE } from '../knock/stage.ts'
import type { SignedEvent } from '../support/events.ts'
import { type FakeResident, startFakeResident } from '../support/fake-resident.ts'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'
import { sendKnockPath } from '../support/remote-knocker.ts'
import type { Character } from '../support/resident-answers.ts'
import { authorization, canonical, type Identity } from '../support/signing.ts'
import type { TestRoom } from '../support/test-room.ts'

export interface Beside {
  readonly resident: FakeResident
  readonly homeserver: Homeserver
  readonly store: Store
  /** Of rooms that could not be read. */
  readonly failures: readonly string[]
  /** Ids of rooms that were read. */
  readonly read: readonly string[]
  now(): number
  /** Turns the clock on. */
  pass(milliseconds: number): void
  refresh(room: { roomId: string }, withinMs?: number): Promise<RoomFreshness>
  /** Asks on behalf of a server. Absolute times in milliseconds. */
  refreshAs(
    origin: string,
    roomId: string,
    times: { readonly deadline: number; readonly notBefore?: number },
  ): Promise<RoomFreshness>
  /** The event in a slot of the store's room. */
  stored(room: { roomId: string }, type: string, stateKey?: string): Promise<string | undefined>
  /** All events of a type that the store has with an empty state key. */
  storedAll(room: { roomId: string }, type: string): Promise<readonly string[]>
  extremities(room: { roomId: string }): Promise<readonly string[]>
  handOver(room: TestRoom, event: SignedEvent, withinMs?: number): ReturnType<Homeserver['handover']['handOver']>
  close(): Promise<void>
}

export interface BesideOptions extends Partial<HomeserverOptions> {
  readonly character?: Character
}

export async function beside({ character = 'synapse', ...changes }: BesideOptions = {}): Promise<Beside> {
  const resident = await startFakeResident({ identity: HERE, character, others: [THERE, REMOTE] })
  const failures: string[] = []
  const read: string[] = []
  let ahead = 0
  let transactions = 0
  const clock = (): number => Date.now() + ahead
  const store = createMemoryStore({ clock })
  const homeserver = createHomeserver({
    serverName: HERE.name as ServerName,
    url: resident.url,
    handover: 'inject',
    template: 'own',
    caCertificates: [],
    signingKey: keyOf(HERE),
    ed25519: nativeEd25519,
    store,
    clock,
    localUsers: [],
    maxStateAgeMs: 60_000,
    handoverMs: 15_000,
    newTransactionId: () => `t${++transactions}`,
    observer: {
      roomRead: (room) => void read.push(room),
      roomFailed: (_room, reason) => void failures.push(reason),
    },
    ...changes,
  })
  const refreshAs: Beside['refreshAs'] = (origin, roomId, times) =>
    homeserver.supply.refresh(roomId as RoomId, { origin: origin as ServerName, ...times })
  return {
    refreshAs,
    ...{ resident, homeserver, store, failures, read, now: clock },
    pass(milliseconds) {
      ahead += milliseconds
    },
    refresh: ({ roomId }, withinMs = 10_000) => refreshAs(REMOTE.name, roomId, { deadline: clock() + withinMs }),
    async stored({ roomId }, type, stateKey = '') {
      if (type === 'm.room.member') {
        return (await store.readRoom(roomId as RoomId, stateKey as UserId))?.member?.eventId
      }
      const facts = await store.readFacts(roomId as RoomId)
      return facts?.state.find(({ pdu }) => pdu.type === type)?.eventId
    },
    async storedAll({ roomId }, type) {
      const facts = await store.readFacts(roomId as RoomId)
      return (facts?.state ?? []).flatMap(({ eventId, pdu }) => (pdu.type === type ? [String(eventId)] : [])).sort()
    },
    async extremities({ roomId }) {
      const selection = await store.readExtremities(roomId as RoomId)
      return (selection?.extremities ?? []).map(({ eventId }) => String(eventId)).sort()
    },
    handOver: (room, event, withinMs = 10_000) =>
      homeserver.handover.handOver(knockToHandOver(room, event, clock() + withinMs)),
    async close() {
      await homeserver.close()
      await resident.close()
      if (resident.complaints.length > 0) throw new Error(resident.complaints.join('\n'))
    },
  }
}

export function keyOf({ keyId, seed, publicKey, secretKey }: Identity): SigningKey {
  return { keyId: keyId as KeyId, seed, publicKey, secretKey }
}

/** A knock as it came, signed by its sender's server. */
export function knockToHandOver({ roomId }: TestRoom, event: SignedEvent, deadline: number): KnockToHandOver {
  const uri = sendKnockPath(roomId, event.eventId)
  const body = Buffer.from(canonical(event.pdu))
  const line = authorization(REMOTE, { method: 'PUT', uri, destination: HERE.name, content: event.pdu })
  return {
    roomId: roomId as RoomId,
    event: event as unknown as KnockToHandOver['event'],
    original: { method: 'PUT', uri, authorization: [line], body },
    deadline,
    isRefusedNow: async () => false,
  }
}
