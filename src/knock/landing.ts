/** How a knock that has passed every check comes into its room: by our own record, or by way of the homeserver. */
import { membershipOf } from '../matrix/auth/knock-rules.ts'
import { type Refusal, refusal } from '../matrix/refusal.ts'
import type { Handover, HandoverOutcome, KnockToHandOver } from './ports/homeserver.ts'
import type { AttemptStore, Decision, KnockContext, KnockExpectation } from './ports/rooms.ts'
import { outOfOrder, unknownOutcome } from './room-checks.ts'

/** One for each way of running; wiring chooses. */
export interface Landing {
  /** Who brings it to the other servers of the room, and asks the policy servers for it. */
  readonly deliveredBy: 'us' | 'homeserver'
  /**
   * Gets a knock into its room.
   * @param decision its record if it comes into the room
   * @returns why it did not, or is not known to have; undefined where it is to be recorded
   */
  land(knock: KnockToHandOver, decision: Decision): Promise<Refusal | 'overtaken' | undefined>
  /** What the record of a knock that has landed rests on. @param read what the decision read */
  restsOn(read: KnockExpectation): KnockExpectation | 'in the room'
  /** Whether an event that is in the room is still to be recorded: we have not come to it since it landed. */
  waitsForRecord(context: KnockContext): boolean
}

/** This store is the authority of its rooms: what is recorded is in the room. */
export const byRecord: Landing = {
  deliveredBy: 'us',
  land: async () => undefined,
  restsOn: (read) => read,
  waitsForRecord: () => false,
}

/** The homeserver takes it into the room, and brings it to the other servers too. */
export function byForwarding(handover: Handover): Landing {
  return {
    ...bySeeing,
    deliveredBy: 'homeserver',
    land: async (knock) => whyNot(await handover.handOver(knock)),
  }
}

/**
 * The homeserver takes it into the room, and the other servers get it from us. So the attempt is kept from before the
 * homeserver can have the knock: it reaches them too if we never see what became of it.
 */
export function byInjecting(handover: Handover, store: Pick<AttemptStore, 'beginAttempt' | 'endAttempt'>): Landing {
  return {
    ...bySeeing,
    deliveredBy: 'us',
    async land(knock, decision) {
      const { event } = knock
      if (!(await store.beginAttempt({ event, decision }))) return notRecorded()
      const outcome = await handover.handOver(knock)
      if (outcome.kind === 'refused' || outcome.kind === 'overtaken') await store.endAttempt(event.eventId)
      return whyNot(outcome)
    },
  }
}

const bySeeing: Pick<Landing, 'restsOn' | 'waitsForRecord'> = {
  restsOn: () => 'in the room',
  waitsForRecord: ({ recorded, member }) => !recorded && membershipOf(member) === 'knock',
}

function whyNot(outcome: HandoverOutcome): Refusal | 'overtaken' | undefined {
  if (outcome.kind === 'accepted') return undefined
  if (outcome.kind === 'refused') return outcome.refusal
  if (outcome.kind === 'unknown') return unknownOutcome(TAKING, outcome.reason)
  if (outcome.kind === 'out of order') return outOfOrder(TAKING, outcome.reason)
  return 'overtaken'
}

/** The rule of knocks of which the homeserver has not said what became of them. */
export const TAKING = 'homeserver: taking the knock'

/** The store cannot write. */
export function notRecorded(): Refusal {
  return refusal('M_UNKNOWN', 'The knock could not be recorded, try again', 'recording the knock')
}
