/**
 * The two use cases on a real store, without network: rooms told as stories, signed by the second implementation, and
 * a keyring that knows the servers of the cast.
 */

import type { KnockPorts } from '../../src/knock/knock-ports.ts'
import { createKnockLimits, type KnockLimits } from '../../src/knock/limits.ts'
import { type MakeKnockRequest, makeKnock } from '../../src/knock/make-knock.ts'
import type { Decision, Keyring, VerifyKey } from '../../src/knock/ports/rooms.ts'
import type { Store } from '../../src/knock/ports/store.ts'
import { type SendKnockRequest, sendKnock } from '../../src/knock/send-knock.ts'
import { nativeEd25519 } from '../../src/matrix/ed25519.ts'
import type { EventId, KeyId, RoomId, ServerName, UserId } from '../../src/matrix/identifiers.ts'
import type { Pdu, RoomEvent } from '../../src/matrix/pdu.ts'
import { createKnockPorts, type KnockHomeserver } from '../../src/wiring/knocks.ts'
import { bare, pduOf } from '../matrix/given.ts'
import type { OracleObject } from '../oracle/json-value.ts'
import type { SignedEvent } from '../support/events.ts'
import { createMemoryStore } from '../support/memory-store/memory-store.ts'
import { knockEvent } from '../support/remote-knocker.ts'
import { createIdentity, type Identity, type JsonRecord } from '../support/signing.ts'
import {
  buildRoom,
  joinRule,
  joins,
  type Line,
  opening,
  type Person,
  person,
  type TestRoom,
} from '../support/test-room.ts'

export const HERE = createIdentity('here.test')
export const THERE = createIdentity('there.test')
export const REMOTE = createIdentity('remote.test')
export const ALICE = person('alice', HERE)
export const BOB = person('bob', THERE)
export const CAROL = person('carol', REMOTE)
export const NOW = 1_770_000_000_000

type Version = TestRoom['version']

/** What a keyring was asked. */
export interface Asked {
  readonly server: string
  readonly keyIds: readonly string[]
  readonly at: number
  readonly use: string
  readonly deadline: number
}

function keyOf(identity: Identity): VerifyKey {
  return { keyId: identity.keyId as KeyId, key: identity.publicKey, validUntil: NOW * 2, old: false }
}

/** Knows the keys of these servers and of nobody else, and remembers what it was asked and whom keys have verified. */
export function keyringOf(identities: readonly Identity[], asked: Asked[], proved: string[] = []): Keyring {
  return {
    async keysFor(server, keyIds, at, use, deadline) {
      asked.push({ server, keyIds, at, use, deadline })
      const theirs = identities.filter(({ name }) => name === server)
      if (theirs.length === 0) return { kind: 'unavailable', reason: 'nobody knows' }
      return { kind: 'keys', keys: theirs.filter(({ keyId }) => keyIds.includes(keyId as KeyId)).map(keyOf) }
    },
    proved: (server) => void proved.push(server),
  }
}

export interface StageOptions {
  readonly limits?: KnockLimits
  readonly identities?: readonly Identity[]
  /** Wraps the store that the use cases see. */
  readonly wrap?: (store: Store) => Store
  readonly versionName?: string
  readonly ownServer?: string
  readonly resident?: readonly SignedEvent[]
  readonly homeserver?: KnockHomeserver
}

export interface Stage {
  readonly room: TestRoom
  readonly store: Store
  readonly ports: KnockPorts
  readonly asked: readonly Asked[]
  make(who: Person, changes?: Partial<MakeKnockRequest>): ReturnType<typeof makeKnock>
  send(event: SignedEvent, changes?: Partial<SendKnockRequest>): ReturnType<typeof sendKnock>
  /** A signed knock by this person on the room. */
  knock(who: Person, changes?: JsonRecord): SignedEvent
  /** Another state of the room, imported over the first. */
  become(room: TestRoom): Promise<void>
  decisions(): Promise<readonly Decision[]>
  membership(who: Person): Promise<unknown>
  delivered(): Promise<readonly RoomEvent[]>
}

/** A room by Alice, with Bob in it, where everybody may knock. */
export function usualRoom(version: Version = '10', more: readonly Line[] = []): TestRoom {
  return buildRoom(
    version,
    ALICE,
    [...opening(ALICE, version, 'public'), joins(BOB), joinRule(ALICE, 'knock'), ...more],
    {
      since: NOW - 3_600_000,
      localpart: 'room',
    },
  )
}

function roomEvent({ eventId, pdu }: SignedEvent): RoomEvent {
  return { eventId: eventId as EventId, pdu: pduOf(pdu as OracleObject) }
}

export async function importRoom(store: Store, room: TestRoom, options: StageOptions = {}): Promise<void> {
  const staging = await store.beginImport({
    roomId: room.roomId as RoomId,
    version: options.versionName ?? room.version,
    ownServer: (options.ownServer ?? HERE.name) as ServerName,
    discardKnocks: false,
  })
  const file = room.importFile() as { pdus: readonly Pdu[]; auth_chain: readonly Pdu[] }
  const named = (pdus: readonly Pdu[]) =>
    pdus.flatMap((pdu) => {
      const event = room.timeline.find((candidate) => candidate.pdu === (pdu as unknown))
      return event === undefined ? [] : [roomEvent(event)]
    })
  await staging.addState(named(file.pdus).map((event) => ({ ...event, verified: true })))
  await staging.addAuthChain(named(file.auth_chain))
  await staging.addExtremities([roomEvent(room.tip)])
  const outcome = await staging.swap()
  if (outcome.kind !== 'imported') throw new Error(outcome.reason)
}

/** Sets the stage with one room. */
export async function stage(room: TestRoom = usualRoom(), options: StageOptions = {}): Promise<Stage> {
  const store = createMemoryStore({ clock: () => NOW, historyMs: 86_400_000, maxDecisions: 1_000 })
  await importRoom(store, room, options)
  const asked: Asked[] = []
  const seen = options.wrap?.(store) ?? store
  const ports = createKnockPorts(
    {
      serverName: HERE.name as ServerName,
      store: seen,
      keyring: keyringOf(options.identities ?? [HERE, THERE, REMOTE], asked),
      ed25519: nativeEd25519,
      limits: options.limits ?? createKnockLimits({}, () => NOW),
      clock: () => NOW,
    },
    options.homeserver,
  )
  const roomId = room.roomId as RoomId
  return {
    room,
    store,
    ports,
    asked,
    make: ({ id, server }, changes) =>
      makeKnock(ports, {
        origin: server.name as ServerName,
        roomId,
        userId: id as UserId,
        versions: [room.version],
        deadline: NOW + 20_000,
        original: { method: 'GET', uri: '', authorization: [], body: undefined },
        ...changes,
      }),
    send: ({ eventId, pdu }, changes) =>
      sendKnock(ports, {
        origin: String(pdu.sender).slice(String(pdu.sender).indexOf(':') + 1) as ServerName,
        roomId,
        eventId: eventId as EventId,
        body: bare(pdu as OracleObject),
        keyDeadline: NOW + 10_000,
        deadline: NOW + 20_000,
        original: { method: 'PUT', uri: '', authorization: [], body: undefined },
        ...changes,
      }),
    knock: (who, changes) => knockEvent(room, who, { origin_server_ts: NOW, ...changes }),
    become: (changed) => importRoom(store, changed, options),
    decisions: () => store.listDecisions({ limit: 100 }),
    membership: async ({ id }) => (await store.readRoom(roomId, id as UserId))?.member?.pdu.content.membership,
    async delivered() {
      while (await store.expand());
      const [next] = await store.claim(NOW, 1)
      if (next !== undefined) await store.release(next.destination, next.txnId)
      return (next?.events ?? []).map(({ eventId, json }) => ({
        eventId,
        pdu: JSON.parse(Buffer.from(json).toString()),
      }))
    },
  }
}
