/**
 * Handing over by `PUT /send` to the homeserver, as itself: for homeservers without knocking of their own. Its answer says
 * only that the transaction arrived, so the knock counts once it is seen in the room; the other servers get it from us.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1sendtxnid
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createFairSlots } from '../concurrency/fair-slots.ts'
import type { Handover, HandoverOutcome, KnockToHandOver } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import { type ServerName, serverNameOf, type UserId } from '../matrix/identifiers.ts'
import { isJsonObject } from '../matrix/json.ts'
import type { RoomEvent } from '../matrix/pdu.ts'
import { refusal } from '../matrix/refusal.ts'
import type { Acceptance } from './acceptance.ts'
import type { HomeserverAnswer, HomeserverClient } from './homeserver-client.ts'

export interface InjectOptions {
  readonly client: HomeserverClient
  readonly acceptance: Acceptance
  readonly serverName: ServerName
  readonly clock: Clock
  /** Longest time for handing over a knock, in milliseconds. */
  readonly handoverMs: number
  /** A new transaction id, never used before by anybody in our name. */
  readonly newTransactionId: () => string
}

/** Homeservers refuse a second transaction of one origin while they work on a first. It ends by its deadline, and not before. */
const TRANSACTIONS = { slots: 1, perCause: 1, maxWaiting: 1_000, patienceMs: 3_600_000 }
/** It may be another process of ours that they work for. Where they say how long to wait, that has been done already. */
const BUSY_PAUSE_MS = 200
/** What the transaction leaves for seeing the knock arrive, where there is as much as twice that, and without an answer. */
const TIME_TO_SEE_MS = 1_000

export function createInject(options: InjectOptions): Handover {
  const { client, acceptance, serverName, clock, handoverMs, newTransactionId } = options
  const turns = createFairSlots(TRANSACTIONS)

  async function send({ pdu }: RoomEvent, deadline: number): Promise<HomeserverAnswer> {
    for (;;) {
      const content = { origin: serverName, origin_server_ts: clock(), pdus: [pdu] }
      const uri = `/_matrix/federation/v1/send/${encodeURIComponent(newTransactionId())}`
      const answer = await client.put(uri, content, deadline)
      const isBusy = answer.kind === 'answered' && answer.status === 429
      if (!isBusy || clock() + BUSY_PAUSE_MS >= deadline) return answer
      await pause(BUSY_PAUSE_MS, undefined, { ref: false })
    }
  }

  return {
    homeserverDelivers: false,
    async handOver(knock: KnockToHandOver): Promise<HandoverOutcome> {
      const { roomId, event } = knock
      const start = clock()
      const deadline = Math.min(knock.deadline, start + handoverMs)
      const by = Math.max(deadline - TIME_TO_SEE_MS, (start + deadline) / 2)
      const answer = await turns.run([serverOf(event)], () => send(event, by), by - clock())
      if (answer === undefined) return { kind: 'unknown', reason: 'too many knocks wait for the homeserver' }
      const flaw = flawOf(answer, event)
      if (flaw !== undefined) return flaw
      const isLost = answer.kind === 'failed'
      const until = isLost ? Math.min(deadline, clock() + TIME_TO_SEE_MS) : deadline
      if (await acceptance.proved(roomId, event.eventId, until)) return { kind: 'accepted' }
      return { kind: 'unknown', reason: isLost ? `send: ${answer.reason}` : UNSEEN }
    },
  }
}

/** The server of the knocker: one that floods waits behind itself. */
function serverOf({ pdu }: RoomEvent): string {
  return serverNameOf(pdu.sender as UserId)
}

const UNSEEN = 'the homeserver took the transaction, but the knock was not seen in the room'

/** What the answer to the transaction rules out already. One that was lost rules nothing out. */
function flawOf(answer: HomeserverAnswer, { eventId }: RoomEvent): HandoverOutcome | undefined {
  if (answer.kind === 'failed') return undefined
  if (answer.status !== 200) return { kind: 'unknown', reason: `send answers ${answer.status}` }
  const results = answer.body?.pdus
  const result = isJsonObject(results) && Object.hasOwn(results, eventId) ? results[eventId] : undefined
  if (!isJsonObject(result) || typeof result.error !== 'string') return undefined
  return {
    kind: 'refused',
    refusal: refusal('M_FORBIDDEN', 'The homeserver of the room refused the knock', 'handover: send'),
  }
}
