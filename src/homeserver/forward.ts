/**
 * Handing over by sending the original request on, byte for byte, to the homeserver's own `send_knock`: it records the
 * knock and brings it to the room's other servers.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1send_knockroomideventid
 */
import type { Handover, HandoverOutcome, KnockToHandOver, Upstream } from '../knock/ports/homeserver.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { Acceptance } from './acceptance.ts'

export interface ForwardOptions {
  readonly upstream: Upstream
  readonly acceptance: Acceptance
  readonly clock: Clock
  /** Longest time for handing over a knock, in milliseconds. */
  readonly handoverMs: number
}

/** Without an answer the knock is looked for no longer than it takes to show. */
const TIME_TO_SEE_MS = 1_000
const UNSEEN = 'the homeserver answered 200, but the knock was not seen in the room'

export function createForward({ upstream, acceptance, clock, handoverMs }: ForwardOptions): Handover {
  return {
    homeserverDelivers: true,
    async handOver(knock: KnockToHandOver): Promise<HandoverOutcome> {
      const { roomId, event, original } = knock
      const deadline = Math.min(knock.deadline, clock() + handoverMs)
      const answer = await upstream.passOn(original, deadline)
      if (answer.kind === 'refused' || answer.kind === 'out of order') return answer
      // Some homeservers answer 200 to a knock that they then leave out of the room; of some the answer is lost.
      const until = answer.kind === 'answered' ? deadline : Math.min(deadline, clock() + TIME_TO_SEE_MS)
      if (await acceptance.proved(roomId, event.eventId, until)) return { kind: 'accepted' }
      return answer.kind === 'unknown' ? answer : { kind: 'unknown', reason: UNSEEN }
    },
  }
}
