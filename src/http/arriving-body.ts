/**
 * Bodies of requests, held within one budget for all together. Beyond it reading pauses: what has not been read waits at its
 * sender. Nobody is refused for that but who keeps others waiting by sending slowly.
 */
import type { IncomingMessage } from 'node:http'
import { createFairSlots, type FairSlots } from '../waiting/fair-slots.ts'
import { type Body, discardBody, readBody } from './read-body.ts'

/** The body of one request, of which nothing has been read. */
export interface ArrivingBody {
  /**
   * Reads it when its turn has come. What is whole then takes part in the budget no more: it is to be parsed at once.
   * @param waitMs longest time for it, in milliseconds
   */
  read(waitMs: number): Promise<Body | { readonly kind: 'no turn' }>
  /** Reads it to its end and keeps nothing, so that the answer arrives. @param waitMs longest time for it, in milliseconds */
  discard(waitMs: number): Promise<Body>
}

/** @param cause who sends the request */
export type ArrivingBodies = (request: IncomingMessage, cause: string) => ArrivingBody

/** A knock has at most 64 KiB in canonical form; escapes and white space make it longer. */
export const BODY_LIMIT = 1024 * 1024
/** Bodies that announce no more have a part of the budget to themselves. Nearly all knocks are such. */
const SMALL_BYTES = 64 * 1024
/**
 * 16 MiB of small bodies and 8 MiB of others at a time, a quarter of each for senders that have few. One that stalls gives
 * way to those that wait.
 */
const SMALL_TURNS = { slots: 256, perCause: 256, spare: 64, maxWaiting: 4_096, patienceMs: 3_000 }
const OTHER_TURNS = { slots: 8, perCause: 8, spare: 2, maxWaiting: 4_096, patienceMs: 3_000 }

/** One budget for all bodies that arrive through it. */
export function createArrivingBodies(): ArrivingBodies {
  const small = createFairSlots(SMALL_TURNS)
  const other = createFairSlots(OTHER_TURNS)

  return (request, cause) => {
    const announced = Number(request.headers['content-length'] ?? Number.NaN)
    const turns: FairSlots = announced <= SMALL_BYTES ? small : other
    const discard = (waitMs: number) => discardBody(request, BODY_LIMIT, AbortSignal.timeout(wholeMs(waitMs)))

    return {
      async read(waitMs) {
        if (hasArrived(request)) return readBody(request, BODY_LIMIT)
        if (announced > BODY_LIMIT) return discard(waitMs)
        const inTime = AbortSignal.timeout(wholeMs(waitMs))
        const read = (gaveWay: AbortSignal) => readBody(request, BODY_LIMIT, AbortSignal.any([gaveWay, inTime]))
        return (await turns.run([cause], read, wholeMs(waitMs))) ?? { kind: 'no turn' }
      },
      discard,
    }
  }
}

/** What is here whole takes no more for being read. */
function hasArrived({ complete, readableLength }: IncomingMessage): boolean {
  return complete && readableLength <= SMALL_BYTES
}

function wholeMs(milliseconds: number): number {
  return Math.max(Math.floor(milliseconds), 0)
}
