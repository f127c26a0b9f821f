/**
 * Checks, once their servers' keys can be had, the signatures that could not be checked when a room was imported. Only of
 * state that decides about knocks or is shown to those who knock.
 */

import type { Clock, RoomEvent } from '../knock/ports.ts'
import { judgeSignature, type SignaturePorts } from '../knock/server-signature.ts'
import type { Store } from '../knock/store-ports.ts'
import { signedForm } from '../matrix/event.ts'
import { parseUserId, type RoomId, serverNameOf, type UserId } from '../matrix/identifiers.ts'
import { roomVersion } from '../matrix/room-versions.ts'

export interface SignatureAuditPorts extends SignaturePorts {
  readonly store: Pick<Store, 'unverifiedEvents' | 'settle' | 'readRoom'>
  readonly clock: Clock
  readonly observer: {
    /** The event has left the state of its room. */
    wrong(roomId: RoomId, event: RoomEvent): void
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

/** @param everyMs pause between two rounds, in milliseconds */
export function createSignatureAudit(ports: SignatureAuditPorts, everyMs = ROUND_EVERY_MS): SignatureAudit {
  let timer: NodeJS.Timeout | undefined
  let round: Promise<void> = Promise.resolve()
  let stopped = false

  const next = (): void => {
    round = auditRound(ports)
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

async function auditRound(ports: SignatureAuditPorts): Promise<void> {
  const events = await ports.store.unverifiedEvents(EVENTS_PER_ROUND)
  await Promise.all(events.map(({ roomId, event }) => auditEvent(ports, roomId, event)))
}

async function auditEvent(ports: SignatureAuditPorts, roomId: RoomId, event: RoomEvent): Promise<void> {
  const { store, clock, observer } = ports
  const { pdu, eventId } = event
  const sender = parseUserId(pdu.sender) as UserId
  const room = await store.readRoom(roomId, sender)
  const version = room && roomVersion(room.head.version)
  if (version === undefined) return
  const signed = { pdu, signedBytes: signedForm(pdu, version) }
  const verdict = await judgeSignature(ports, signed, serverNameOf(sender), clock() + KEYS_WITHIN_MS)
  if (verdict === 'unknown') return
  await store.settle(roomId, eventId, verdict === 'good' ? 'verified' : 'wrong')
  if (verdict !== 'good') observer.wrong(roomId, event)
}
