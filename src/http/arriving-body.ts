/**
 * Bodies of requests, held within one budget for all together. Beyond it reading pauses: what has not been read waits at its
 * sender. Nobody is refused for that but who keeps others waiting by sending slowly.
 */
import type { IncomingMessage } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { createFairSlots } from '../concurrency/fair-slots.ts'
import { type Body, discardBody, readBody } from './read-body.ts'

/** The body of one request, of which nothing has been read. */
export interface ArrivingBody {
  /**
   * Reads it when its turn has come, which lasts until it is checked.
   * @param origin whom it claims to come from: behind one proxy that alone tells senders apart
   * @param waitMs longest time for it to come, in milliseconds
   * @param check finds out whether it is authentic. The bytes are lent to it: others come in their place afterwards
   * @returns undefined where its turn did not come in time
   */
  read<T>(origin: string, waitMs: number, check: (body: Body) => Promise<T>): Promise<T | undefined>
  /** Reads it to its end and keeps nothing, so that the answer arrives. @param waitMs longest time for it, in milliseconds */
  discard(waitMs: number): Promise<Body>
}

/** @param cause the network that the request comes from */
export type ArrivingBodies = (request: IncomingMessage, cause: string) => ArrivingBody

/** A knock has at most 64 KiB in canonical form; escapes and white space make it longer. */
export const BODY_LIMIT = 1024 * 1024
/** Bodies that announce no more have a part of the budget to themselves. Nearly all knocks are such. */
const SMALL_BYTES = 64 * 1024
/**
 * 16 MiB of small bodies and 4 MiB of others at a time, a quarter of each for senders that have few. One that stalls gives
 * way to those that wait.
 */
const SMALL_TURNS = { slots: 256, perCause: 256, spare: 64, maxWaiting: 4_096, patienceMs: 3_000 }
const OTHER_TURNS = { slots: 4, perCause: 4, spare: 1, maxWaiting: 4_096, patienceMs: 3_000 }
/**
 * Parsed, a body can take fifty times its bytes, and milliseconds of the event loop. Those that are not short are checked
 * one after the other, so that other requests come in between, and there is a second place for another sender.
 */
const SHORT_BYTES = 4 * 1024
const CHECKS = { slots: 2, perCause: 1, maxWaiting: 4_096, patienceMs: 60_000 }

/** One budget for all bodies that arrive through it. */
export function createArrivingBodies(): ArrivingBodies {
  const small = createFairSlots(SMALL_TURNS)
  const other = createFairSlots(OTHER_TURNS)
  const checks = createFairSlots(CHECKS)
  // Memory for large bodies is used again: what is let go of would stay the process's for long.
  const rooms: Buffer[] = []

  return (request, cause) => {
    const announced = Number(request.headers['content-length'] ?? Number.NaN)

    /** The result in a box: undefined is for what never had its turn. */
    async function checked<T>(body: Body, waitMs: number, check: Check<T>): Promise<Box<T> | undefined> {
      const boxed = async () => ({ value: await check(body) })
      return body.kind === 'whole' && body.bytes.length > SHORT_BYTES ? checks.run([cause], boxed, waitMs) : boxed()
    }

    async function readSmall<T>(signal: AbortSignal, waitMs: number, check: Check<T>): Promise<Box<T> | undefined> {
      const room = Buffer.allocUnsafe(announced)
      return checked(await readBody(request, BODY_LIMIT, { waitMs, signal }, room), waitMs, check)
    }

    async function readOther<T>(signal: AbortSignal, waitMs: number, check: Check<T>): Promise<Box<T> | undefined> {
      const room = rooms.pop() ?? Buffer.allocUnsafeSlow(BODY_LIMIT)
      try {
        return await checked(await readBody(request, BODY_LIMIT, { waitMs, signal }, room), waitMs, check)
      } finally {
        if (rooms.length < OTHER_TURNS.slots) rooms.push(room)
      }
    }

    async function takeArrived<T>(waitMs: number, check: Check<T>): Promise<Box<T> | undefined> {
      const chunks: Buffer[] = []
      // Newer Node gives them one by one.
      for (let chunk = request.read(); chunk !== null; chunk = request.read()) chunks.push(chunk)
      const [first, ...more] = chunks
      const bytes = first !== undefined && more.length === 0 ? first : Buffer.concat(chunks)
      return checked({ kind: 'whole', bytes }, waitMs, check)
    }

    const discard = (waitMs: number) => discardBody(request, BODY_LIMIT, wholeMs(waitMs))

    return {
      async read(origin, waitMs, check) {
        const most = wholeMs(waitMs)
        // Most bodies come with the head, and are there once the parser is through with it.
        if (!hasArrived(request)) await turn()
        if (hasArrived(request)) return (await takeArrived(most, check))?.value
        if (announced > BODY_LIMIT) return check(await discard(most))
        const [turns, readInTurn] = announced <= SMALL_BYTES ? [small, readSmall] : [other, readOther]
        const end = performance.now() + most
        const left = () => wholeMs(end - performance.now())
        const inTurn = (gaveWay: AbortSignal) => readInTurn(gaveWay, left(), check)
        return (await turns.run([cause, `as ${origin}`], inTurn, most))?.value
      },
      discard,
    }
  }
}

type Check<T> = (body: Body) => Promise<T>

interface Box<T> {
  readonly value: T
}

/** What is here whole takes no more for being read. */
function hasArrived({ complete, readableLength }: IncomingMessage): boolean {
  return complete && readableLength <= SMALL_BYTES
}

function wholeMs(milliseconds: number): number {
  return Math.max(Math.floor(milliseconds), 0)
}
