/**
 * Whether the homeserver answers at all. What fails for one room or one knock says nothing of the others, so a failure is
 * taken for the homeserver's own only where it does not answer a question that concerns no room either.
 * docs/decisions/0013-a-5xx-only-where-it-is-true.md
 * https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1version
 */
import type { Clock } from '../knock/ports.ts'
import { within } from '../waiting/within.ts'
import type { HomeserverClient } from './homeserver-client.ts'

export interface Liveness {
  /**
   * Tells what is not known of one room or knock from a homeserver that does not answer at all.
   * @param deadline absolute time in milliseconds
   * @param attempt what may end in something unknown, with the time by which it must have ended
   */
  blame<Outcome extends { readonly kind: string }>(
    deadline: number,
    attempt: (by: number) => Promise<Outcome | Unknown>,
  ): Promise<Outcome | Unknown | OutOfOrder>
  /**
   * Asks, once for all who want to know at a time.
   * @param deadline absolute time in milliseconds
   * @returns false where it does not answer, or out of order; true where that could not be found out by the deadline
   */
  answers(deadline: number): Promise<boolean>
}

/** The reasons are for the operator. */
interface Unknown {
  readonly kind: 'unknown'
  readonly reason: string
}

interface OutOfOrder {
  readonly kind: 'out of order'
  readonly reason: string
}

export interface LivenessOptions {
  readonly client: Pick<HomeserverClient, 'getUnsigned'>
  readonly clock: Clock
}

/** Homeservers answer it from memory. */
const QUESTION = '/_matrix/federation/v1/version'
const ANSWER_MS = 2_000
/** The question, and a little for its own way. */
const TIME_TO_ASK_MS = 2_500
const REMEMBERED_MS = 1_000

export function createLiveness({ client, clock }: LivenessOptions): Liveness {
  let asked: { readonly answers: Promise<boolean>; until: number } | undefined

  async function ask(): Promise<boolean> {
    const answer = await client.getUnsigned(QUESTION, clock() + ANSWER_MS)
    return answer.kind === 'answered' && answer.status < 500
  }

  function start(): NonNullable<typeof asked> {
    const question = { answers: ask(), until: Number.POSITIVE_INFINITY }
    question.answers.finally(() => {
      question.until = clock() + REMEMBERED_MS
    })
    return question
  }

  async function answers(deadline: number): Promise<boolean> {
    if (asked === undefined || asked.until <= clock()) asked = start()
    return (await within(deadline - clock(), asked.answers)) ?? true
  }

  return {
    answers,
    async blame(deadline, attempt) {
      const outcome = await attempt(leavingTimeToAsk(clock(), deadline))
      if (!isUnknown(outcome) || (await answers(deadline))) return outcome
      return { kind: 'out of order', reason: outcome.reason }
    },
  }
}

function isUnknown(outcome: { readonly kind: string }): outcome is Unknown {
  return outcome.kind === 'unknown'
}

/**
 * Until when to wait for what may concern one room alone, so that it can still be asked whether that is so.
 * @param now absolute time in milliseconds @param deadline absolute time in milliseconds
 */
export function leavingTimeToAsk(now: number, deadline: number): number {
  return Math.max(deadline - TIME_TO_ASK_MS, (now + deadline) / 2)
}
