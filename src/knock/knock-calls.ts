/** The two calls, whoever knows the rooms: this service, or the homeserver alone. */
import type { Refusal } from '../matrix/refusal.ts'
import type { KnockPorts } from './knock-ports.ts'
import { type MakeKnockAnswer, type MakeKnockRequest, makeKnock } from './make-knock.ts'
import { passOnMakeKnock } from './pass-on/make-knock.ts'
import type { PassOnPorts } from './pass-on/ports.ts'
import { passOnSendKnock } from './pass-on/send-knock.ts'
import { type SendKnockAnswer, type SendKnockRequest, sendKnock } from './send-knock.ts'

export interface KnockCalls {
  makeKnock(request: MakeKnockRequest): Promise<MakeKnockAnswer | Refusal>
  sendKnock(request: SendKnockRequest): Promise<SendKnockAnswer | Refusal>
}

/** Decided on the rooms as they are known here. */
export function knocksOnKnownRooms(ports: KnockPorts): KnockCalls {
  return {
    makeKnock: (request) => makeKnock(ports, request),
    sendKnock: (request) => sendKnock(ports, request),
  }
}

/** Decided by the homeserver, which alone knows its rooms. */
export function knocksPassedOn(ports: PassOnPorts): KnockCalls {
  return {
    makeKnock: (request) => passOnMakeKnock(ports, request),
    sendKnock: (request) => passOnSendKnock(ports, request),
  }
}
