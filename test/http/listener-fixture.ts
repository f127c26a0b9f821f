/** The federation listener on a memory store with one room, and keys that tests decide on. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { AnsweredRequest } from '../../src/http/answered-request.ts'
import { createFederationApp, type FederationAppOptions } from '../../src/http/federation-app.ts'
import { compileAllowedServers } from '../../src/knock/allowed-servers.ts'
import { knocksOnKnownRooms } from '../../src/knock/knock-calls.ts'
import { createKnockLimits } from '../../src/knock/limits.ts'
import type { Clock, KeyLookup, Keyring, VerifyKey } from '../../src/knock/ports/rooms.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { KeyId, RoomId, ServerName } from '../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../src/matrix/pdu.ts'
import { createKnockPorts } from '../../src/wiring/knocks.ts'
import type { SignedEvent } from '../support/events.ts'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'
import { createIdentity, type Identity } from '../support/signing.ts'
import { buildRoom, opening, type Person, person, type TestRoom } from '../support/test-room.ts'

export interface Listener {
  readonly app: Awaited<ReturnType<typeof createFederationApp>>
  readonly resident: Identity
  readonly remote: Identity
  /** A user of the remote. */
  readonly kim: Person
  readonly room: TestRoom
  readonly keys: KnownKeys
  readonly answered: readonly AnsweredRequest[]
  /** What the listener reported as bugs. */
  readonly failures: readonly unknown[]
  /** Listens on a free port of loopback. */
  listen(): Promise<number>
  /** Where it listens; undefined before. */
  readonly port: number | undefined
  close(): Promise<void>
}

/** A keyring that knows what it is told, and remembers whom it was asked about. */
export interface KnownKeys extends Keyring {
  readonly asked: ServerName[]
  /** Servers that keys have verified. */
  readonly verified: ServerName[]
  know(identity: Identity, changes?: Partial<VerifyKey>): void
  /** Whatever is asked of this server is answered so. */
  answer(server: string, lookup: () => Promise<KeyLookup>): void
}

export interface ListenerChanges extends Partial<FederationAppOptions> {
  readonly clock?: Clock
  /** Replaces parts of the memory store. */
  readonly store?: Partial<Store>
  readonly residentName?: string
  readonly localpart?: string
}

export async function openListener(changes: ListenerChanges = {}): Promise<Listener> {
  const resident = createIdentity(changes.residentName ?? 'resident.example')
  const remote = createIdentity('remote.example')
  const alice = person('alice', resident)
  const options = changes.localpart === undefined ? {} : { localpart: changes.localpart }
  const room = buildRoom('10', alice, opening(alice, '10'), options)
  const clock = changes.clock ?? Date.now
  const store = { ...(await storeWith(room, resident, clock)), ...changes.store }
  const keys = knownKeys()
  keys.know(resident)
  keys.know(remote)
  const answered: AnsweredRequest[] = []
  const failures: unknown[] = []
  const serverName = resident.name as ServerName
  const limits = createKnockLimits({}, clock)
  const ports = { serverName, keyring: keys, ed25519: nativeEd25519, clock }
  const app = await createFederationApp({
    ports,
    knocks: knocksOnKnownRooms(createKnockPorts({ ...ports, store, limits }, undefined)),
    allowedServers: compileAllowedServers({ allow: null, deny: [] }),
    keyLookupMs: 10_000,
    requestMs: 25_000,
    trustProxy: [],
    addressLimit: { perSecond: 50, burst: 200 },
    tls: undefined,
    ownMarker: undefined,
    observer: {
      answered: (request) => void answered.push(request),
      failed: (error) => void failures.push(error),
      cameBack: () => void failures.push('came back'),
    },
    ...changes,
  })
  return {
    ...{ app, resident, remote, kim: person('kim', remote), room, keys, answered, failures },
    get port() {
      return (app.server.address() as AddressInfo | null)?.port
    },
    async listen() {
      await once(app.server.listen(0, '127.0.0.1'), 'listening')
      return (app.server.address() as AddressInfo).port
    },
    async close() {
      app.server.closeAllConnections()
      app.server.close()
      await app.close()
    },
  }
}

function knownKeys(): KnownKeys {
  const known = new Map<string, VerifyKey[]>()
  const answers = new Map<string, () => Promise<KeyLookup>>()
  const asked: ServerName[] = []
  const verified: ServerName[] = []
  return {
    asked,
    verified,
    proved: (server) => void verified.push(server),
    know({ name, keyId, publicKey }, changes = {}) {
      const key = { keyId: keyId as KeyId, key: publicKey, validUntil: Number.MAX_SAFE_INTEGER, old: false, ...changes }
      known.set(name, [...(known.get(name) ?? []), key])
    },
    answer: (server, lookup) => void answers.set(server, lookup),
    async keysFor(server) {
      asked.push(server)
      return answers.get(server)?.() ?? { kind: 'keys', keys: known.get(server) ?? [] }
    },
  }
}

async function storeWith(room: TestRoom, resident: Identity, clock: Clock): Promise<Store> {
  const store = createMemoryStore({ clock })
  const staged = await store.beginImport({
    roomId: room.roomId as RoomId,
    version: room.version,
    ownServer: resident.name as ServerName,
    discardKnocks: false,
  })
  const state = room.timeline.filter(({ pdu }) => 'state_key' in pdu).map(asRoomEvent)
  await staged.addState(state.map((event) => ({ ...event, verified: true })))
  await staged.addExtremities([asRoomEvent(room.tip)])
  const outcome = await staged.swap()
  if (outcome.kind !== 'imported') throw new Error(outcome.reason)
  return store
}

function asRoomEvent(event: SignedEvent): RoomEvent {
  return event as unknown as RoomEvent
}
