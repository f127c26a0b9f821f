/**
 * Handing over by sending the original request on, byte for byte, to the homeserver's own `send_knock`: it records the
 * knock and brings it to the room's other servers.
 * https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv1send_knockroomideventid
 */
import type { Handover, HandoverOutcome, KnockToHandOver } from '../knock/homeserver-ports.ts'
import type { Clock } from '../knock/ports.ts'
import { type ErrorCode, type Refusal, refusal } from '../matrix/errors.ts'
import type { Acceptance } from './acceptance.ts'
import type { HomeserverAnswer, HomeserverClient } from './homeserver-client.ts'

export interface ForwardOptions {
  readonly client: HomeserverClient
  readonly acceptance: Acceptance
  readonly clock: Clock
  /** Longest time for handing over a knock, in milliseconds. */
  readonly handoverMs: number
}

export function createForward({ client, acceptance, clock, handoverMs }: ForwardOptions): Handover {
  return {
    homeserverDelivers: true,
    async handOver(knock: KnockToHandOver): Promise<HandoverOutcome> {
      const { roomId, event, original } = knock
      const deadline = Math.min(knock.deadline, clock() + handoverMs)
      const answer = await client.forward(original, deadline)
      if (answer.kind === 'failed') return { kind: 'unknown', reason: `send_knock: ${answer.reason}` }
      if (answer.status !== 200) return refusedBy(answer)
      // Some homeservers answer 200 to a knock that they then leave out of the room.
      if (await acceptance.proved(roomId, event.eventId, deadline)) return { kind: 'accepted' }
      return { kind: 'unknown', reason: 'the homeserver answered 200, but the knock was not seen in the room' }
    },
  }
}

/** What is passed on of a homeserver's refusal; what it says of itself (401, 429, 5xx) is not the remote's affair. */
function refusedBy({ status, body }: Extract<HomeserverAnswer, { kind: 'answered' }>): HandoverOutcome {
  if (body?.errcode === 'M_UNRECOGNIZED') return { kind: 'unknown', reason: WITHOUT_KNOCKING }
  if (status < 400 || status >= 500 || status === 401 || status === 429) {
    return { kind: 'unknown', reason: `send_knock answers ${status}` }
  }
  return { kind: 'refused', refusal: passedOn(status, body?.errcode, body?.error) }
}

const WITHOUT_KNOCKING = 'the homeserver has no send_knock: homeserver.handover must be inject'

const PASSED_ON: readonly ErrorCode[] = [
  'M_BAD_JSON',
  'M_FORBIDDEN',
  'M_INCOMPATIBLE_ROOM_VERSION',
  'M_INVALID_PARAM',
  'M_MISSING_PARAM',
  'M_NOT_FOUND',
  'M_NOT_JSON',
  'M_TOO_LARGE',
]
const MAX_ERROR_LENGTH = 500

function passedOn(status: number, errcode: unknown, error: unknown): Refusal {
  const code = PASSED_ON.find((known) => known === errcode) ?? 'M_FORBIDDEN'
  const text = typeof error === 'string' ? error.slice(0, MAX_ERROR_LENGTH) : 'The homeserver refused the knock'
  return { ...refusal(code, text, 'handover: the homeserver'), status }
}
