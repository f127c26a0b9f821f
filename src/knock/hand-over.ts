/** Lets the homeserver take a knock into its room, and keeps the attempt for as long as its outcome is not known. */
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { KnockToHandOver } from './ports/homeserver.ts'
import type { Decision } from './ports/rooms.ts'
import type { KnockPorts } from './ports/use-cases.ts'
import { outOfOrder, unknownOutcome } from './room-checks.ts'

/**
 * Hands a knock over. Where the other servers of the room get it from us, it is kept from before the homeserver can have
 * it, so that it reaches them too if we never see what became of it.
 * @param decision its record if it comes into the room
 * @returns why it did not, or is not known to have
 */
export async function handOver(
  { handover, store }: Pick<KnockPorts, 'handover' | 'store'>,
  knock: KnockToHandOver,
  decision: Decision,
): Promise<Refusal | 'overtaken' | undefined> {
  if (handover === undefined) return undefined
  const { event } = knock
  const isKept = !handover.homeserverDelivers
  if (isKept && !(await store.beginAttempt({ event, decision }))) return notRecorded()
  const outcome = await handover.handOver(knock)
  if (outcome.kind === 'accepted') return undefined
  if (outcome.kind === 'unknown') return unknownOutcome(TAKING, outcome.reason)
  if (outcome.kind === 'out of order') return outOfOrder(TAKING, outcome.reason)
  if (isKept) await store.endAttempt(event.eventId)
  return outcome.kind === 'refused' ? outcome.refusal : 'overtaken'
}

/** The rule of knocks of which the homeserver has not said what became of them. */
export const TAKING = 'homeserver: taking the knock'

/** The store cannot write. */
export function notRecorded(): Refusal {
  return refusal('M_UNKNOWN', 'The knock could not be recorded, try again', 'recording the knock')
}
