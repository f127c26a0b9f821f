/**
 * Handing over by sending the original request on, byte for byte, to the homeserver's own `send_knock`: it records the
 * knock and brings it to the room's other servers.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1send_knockroomideventid
 */
import type { Handover, HandoverOutcome, KnockToHandOver, Upstream } from '../knock/homeserver-ports.ts'
import type { Clock } from '../knock/ports.ts'
import type { Acceptance } from './acceptance.ts'

export interface ForwardOptions {
  readonly upstream: Upstream
  readonly acceptance: Acceptance
  readonly clock: Clock
  /** Longest time for handing over a knock, in milliseconds. */
  readonly handoverMs: number
}

export function createForward({ upstream, acceptance, clock, handoverMs }: ForwardOptions): Handover {
  return {
    homeserverDelivers: true,
    async handOver(knock: KnockToHandOver): Promise<HandoverOutcome> {
      const { roomId, event, original } = knock
      const deadline = Math.min(knock.deadline, clock() + handoverMs)
      const answer = await upstream.passOn(original, deadline)
      if (answer.kind !== 'answered') return answer
      // Some homeservers answer 200 to a knock that they then leave out of the room.
      if (await acceptance.proved(roomId, event.eventId, deadline)) return { kind: 'accepted' }
      return { kind: 'unknown', reason: 'the homeserver answered 200, but the knock was not seen in the room' }
    },
  }
}
