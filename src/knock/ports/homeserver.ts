/** What the use cases need of a homeserver next door, where there is one: its rooms, and that it takes knocks into them. */

import type { EventId, RoomId, ServerName } from '../../matrix/identifiers.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { RoomEvent } from '../../matrix/pdu.ts'
import type { Refusal } from '../../matrix/refusal.ts'

/**
 * On every request to the homeserver: a value of our own, after those of other processes through which a request came that
 * is sent on. One that comes in with our own has gone round in a circle.
 */
export const MARKER_HEADER = 'x-matrix-knock'

const MARKER = /^[\w-]{1,64}$/

/** The values of the header that can be markers. @param header undefined where there was none */
export function markersIn(header: string | undefined): readonly string[] {
  const values = header === undefined ? [] : header.split(',')
  return values.map((value) => value.trim()).filter((value) => MARKER.test(value))
}

/** How well the store knows a room. */
export type RoomFreshness =
  /** What is stored was the homeserver's state so many milliseconds ago, or is younger. */
  | { readonly kind: 'fresh'; readonly ageMs: number }
  /** The homeserver does not have the room, or has left it. */
  | { readonly kind: 'absent' }
  /** Nothing can be said of this room now. The reason is for the operator. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  /** The homeserver does not answer at all. The reason is for the operator. */
  | { readonly kind: 'out of order'; readonly reason: string }

/** Who wants to know of a room, and how well. Absolute times in milliseconds. */
export interface RoomQuestion {
  /** The server on whose behalf it is asked: the homeserver is asked in turns, shared among them. */
  readonly origin: ServerName
  /** When to give up waiting. */
  readonly deadline: number
  /** What was read of the room earlier is not enough, whatever its age. */
  readonly notBefore?: number
}

/** The homeserver as the source of rooms. */
export interface RoomSupply {
  /** Brings a room up to date before a decision rests on it. */
  refresh(roomId: RoomId, question: RoomQuestion): Promise<RoomFreshness>
}

/** A request of another server, to be sent on as it came. */
export interface OriginalRequest {
  readonly method: 'GET' | 'PUT'
  /** The raw request target. */
  readonly uri: string
  /** Each `Authorization` line. */
  readonly authorization: readonly string[]
  /** Of the processes that have sent it on before. */
  readonly markers?: readonly string[]
  /** As received; undefined where there was none. */
  readonly body: Uint8Array | undefined
}

/** What the homeserver itself answers to a request that was sent on to it. */
export type UpstreamAnswer =
  /** 200. The body is undefined where it is no JSON object. */
  | { readonly kind: 'answered'; readonly body: JsonObject | undefined }
  /** An answer that the remote is given in its turn. */
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** None that the remote could be given, or none by the deadline. The reason is for the operator. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** None, because the homeserver does not answer at all. The reason is for the operator. */
  | { readonly kind: 'out of order'; readonly reason: string }

/** The homeserver's own knocking. */
export interface Upstream {
  /** Sends a request on, byte for byte. @param deadline absolute time in milliseconds */
  passOn(original: OriginalRequest, deadline: number): Promise<UpstreamAnswer>
}

/** A knock that has passed every check here. */
export interface KnockToHandOver {
  readonly roomId: RoomId
  /** The copy that was judged. */
  readonly event: RoomEvent
  readonly original: OriginalRequest
  /** Absolute time in milliseconds. */
  readonly deadline: number
  /** Whether the room refuses it as it is now, read anew: asked where the knock does not show in the room. */
  readonly isRefusedNow: () => Promise<boolean>
}

export type HandoverOutcome =
  /** It is in the room, and that was seen. */
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** It was not seen in the room, which has changed so that it refuses it: to be decided anew. */
  | { readonly kind: 'overtaken' }
  /** It may be in the room or not: nothing was seen by the deadline. The reason is for the operator. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** The same, because the homeserver does not answer at all. The reason is for the operator. */
  | { readonly kind: 'out of order'; readonly reason: string }

/** The homeserver as the witness of what came into its rooms. */
export interface RoomWitness {
  /**
   * Looks once which of some knocks are in their room.
   * @param deadline absolute time in milliseconds
   * @returns those that are; one that is not can come into it yet. Undefined where the homeserver does not answer
   */
  whichAreIn(roomId: RoomId, knocks: readonly EventId[], deadline: number): Promise<ReadonlySet<EventId> | undefined>
  /** Calls back when the homeserver tells of a knock by itself and nobody has waited for it. */
  onTold(listener: () => void): void
}

/** The homeserver as the one who takes knocks into its rooms. */
export interface Handover {
  /** The homeserver brings the knock to the room's other servers itself; else we do. */
  readonly homeserverDelivers: boolean
  handOver(knock: KnockToHandOver): Promise<HandoverOutcome>
}
