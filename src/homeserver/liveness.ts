/**
 * Whether the homeserver answers at all. What fails for one room or one knock says nothing of the others, so a failure is
 * taken for the homeserver's own only where it does not answer a question that concerns no room either.
 * docs/decisions/0013-a-5xx-only-where-it-is-true.md
 * https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1version
 */
import { within } from '../concurrency/within.ts'
import type { Clock } from '../knock/ports/rooms.ts'
import type { HomeserverClient } from './homeserver-client.ts'

export interface Liveness {
  /**
   * Asks, once for all who want to know at a time.
   * @param deadline absolute time in milliseconds; a moment later is early enough
   * @returns false where it does not answer, or out of order; true where that could not be found out by the deadline
   */
  answers(deadline: number): Promise<boolean>
  /**
   * Asks a while before a deadline, so that it is known by then.
   * @param deadline absolute time in milliseconds
   * @returns ends that: to be called when it need not be known any more
   */
  askBefore(deadline: number): () => void
  /**
   * Tells what is not known of one room or knock by a deadline from a homeserver that does not answer at all.
   * @param deadline absolute time in milliseconds
   */
  blame<Outcome extends { readonly kind: string }>(
    deadline: number,
    attempt: () => Promise<Outcome | Unknown>,
  ): Promise<Outcome | Unknown | OutOfOrder>
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

interface Question {
  readonly askedAt: number
  readonly answers: Promise<boolean>
  /** Until when its answer holds. */
  until: number
}

/** Homeservers answer it from memory. */
const QUESTION = '/_matrix/federation/v1/version'
/** Homeservers that work hard take their time for this too. */
const LONGEST_ANSWER_MS = 5_000
/** What was not answered for so long by a deadline is not answered. */
const SHORTEST_SILENCE_MS = 2_000
/** What is left between a deadline and the answer to the remote, at least. */
const MOMENT_MS = 200
const REMEMBERED_MS = 1_000

export function createLiveness({ client, clock }: LivenessOptions): Liveness {
  let asked: Question | undefined

  async function ask(): Promise<boolean> {
    const answer = await client.getUnsigned(QUESTION, clock() + LONGEST_ANSWER_MS)
    return answer.kind === 'answered' && answer.status < 500
  }

  function start(): Question {
    const question: Question = { askedAt: clock(), answers: ask(), until: Number.POSITIVE_INFINITY }
    question.answers.finally(() => {
      question.until = clock() + REMEMBERED_MS
    })
    return question
  }

  async function answers(deadline: number): Promise<boolean> {
    if (asked === undefined || asked.until <= clock()) asked = start()
    const { askedAt, answers: answer } = asked
    return (await within(deadline + MOMENT_MS - clock(), answer)) ?? clock() - askedAt < SHORTEST_SILENCE_MS
  }

  function askBefore(deadline: number): () => void {
    const leftMs = deadline - clock()
    if (!Number.isFinite(leftMs)) return () => undefined
    const timer = setTimeout(() => answers(deadline), Math.max(leftMs - LONGEST_ANSWER_MS, leftMs / 2, 0)).unref()
    return () => clearTimeout(timer)
  }

  return {
    answers,
    askBefore,
    async blame(deadline, attempt) {
      const stopAsking = askBefore(deadline)
      const outcome = await attempt().finally(stopAsking)
      if (!isUnknown(outcome) || (await answers(deadline))) return outcome
      return { kind: 'out of order', reason: outcome.reason }
    },
  }
}

function isUnknown(outcome: { readonly kind: string }): outcome is Unknown {
  return outcome.kind === 'unknown'
}
