/**
 * Checks, once their servers' keys can be had, the signatures that could not be checked when a room was imported. Only of
 * state that decides about knocks or is shown to those who knock, and of what came redacted.
 * docs/decisions/0012-one-event-one-slot.md
 */

import type { Clock, RoomEvent } from '../knock/ports/rooms.ts'
import type { Store } from '../knock/ports/store.ts'
import { judgeSignature, type SignaturePorts, type SignedEvent } from '../knock/server-signature.ts'
import { signedForm } from '../matrix/event-hashes.ts'
import { parseUserId, type RoomId, type ServerName, serverNameOf } from '../matrix/identifiers.ts'
import { roomVersion } from '../matrix/room-versions.ts'
import { judgeByStoredKeys, proven, type StoredKeysVerdict } from '../rooms/keys-at-hand.ts'

export interface SignatureAuditPorts extends SignaturePorts {
  readonly store: Pick<Store, 'unverifiedEvents' | 'settle' | 'readRoom' | 'readServerKeys'>
  readonly clock: Clock
  readonly observer: {
    /** The event has left the state of its room. */
    wrong(roomId: RoomId, event: RoomEvent): void
    /** No key that is known verifies the event, which may have been signed with an earlier one: it stays. Told once. */
    doubtful(roomId: RoomId, event: RoomEvent): void
    /** The store or the keyring failed; the audit goes on with its next round. */
    failed(error: unknown): void
  }
}

export interface SignatureAudit {
  start(): void
  /** Begins nothing more and waits for what is under way. */
  stop(): Promise<void>
}

const EVENTS_PER_ROUND = 20
const ROUND_EVERY_MS = 60_000
const KEYS_WITHIN_MS = 10_000
/** Events that were told of are remembered, so many at most, and not told of again. */
const MAX_TOLD = 10_000

/** @param everyMs pause between two rounds, in milliseconds */
export function createSignatureAudit(ports: SignatureAuditPorts, everyMs = ROUND_EVERY_MS): SignatureAudit {
  const told = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  let round: Promise<void> = Promise.resolve()
  let stopped = false

  async function auditRound(): Promise<void> {
    const events = await ports.store.unverifiedEvents(EVENTS_PER_ROUND)
    await Promise.all(events.map(({ roomId, event }) => auditEvent(roomId, event)))
  }

  async function auditEvent(roomId: RoomId, event: RoomEvent): Promise<void> {
    const { store, observer } = ports
    const verdict = await judge(ports, roomId, event)
    if (verdict === 'unknown') return
    if (verdict !== 'doubtful') {
      await store.settle(roomId, event.eventId, verdict === 'good' ? 'verified' : 'wrong')
      if (verdict !== 'good') observer.wrong(roomId, event)
    } else if (!told.has(event.eventId)) {
      if (told.size >= MAX_TOLD) told.clear()
      told.add(event.eventId)
      observer.doubtful(roomId, event)
    }
  }

  const next = (): void => {
    round = auditRound()
      .catch((error) => ports.observer.failed(error))
      .then(() => {
        if (!stopped) timer = setTimeout(next, everyMs)
      })
  }
  return {
    start: next,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await round
    },
  }
}

async function judge(ports: SignatureAuditPorts, roomId: RoomId, { pdu }: RoomEvent): Promise<StoredKeysVerdict> {
  const sender = parseUserId(pdu.sender)
  if (sender === undefined) return 'unknown'
  const room = await ports.store.readRoom(roomId, sender)
  const version = room && roomVersion(room.head.version)
  if (version === undefined) return 'unknown'
  return judgeByAllKeys(ports, { pdu, signedBytes: signedForm(pdu, version) }, serverNameOf(sender))
}

/** By what was stored of the server's keys, and by what it or others publish now. */
async function judgeByAllKeys(
  ports: SignatureAuditPorts,
  event: SignedEvent,
  server: ServerName,
): Promise<StoredKeysVerdict> {
  const stored = await ports.store.readServerKeys(server)
  if ((await judgeByStoredKeys(stored, event, server, ports.ed25519)) === 'good') return 'good'
  const verdict = await judgeSignature(ports, event, server, ports.clock() + KEYS_WITHIN_MS)
  return proven(verdict, stored, event, server)
}
