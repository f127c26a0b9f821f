/** What the two use cases are given where no room can be read, and the record of what they decide. */
import type { Refusal } from '../../matrix/refusal.ts'
import type { RoomVersion } from '../../matrix/room-versions.ts'
import { type Acceptance, type AskedFor, decisionFacts, decisionOf } from '../decision.ts'
import type { KnockLimits } from '../limits.ts'
import type { Upstream } from '../ports/homeserver.ts'
import type { Clock, RoomStore } from '../ports/rooms.ts'
import type { SignaturePorts } from '../server-signature.ts'
import type { SeenVersions } from './seen-versions.ts'

export interface PassOnPorts extends SignaturePorts {
  /** Who knows the rooms and decides by their rules. */
  readonly upstream: Upstream
  readonly versions: SeenVersions
  readonly limits: KnockLimits
  readonly store: Pick<RoomStore, 'recordDecision'>
  readonly clock: Clock
}

/**
 * Records a decision that rests on no room of ours.
 * @param version the room's, where the homeserver has named it
 */
export function recordPassedOn(
  { store, clock }: PassOnPorts,
  asked: AskedFor,
  outcome: Refusal | Acceptance,
  version: RoomVersion | undefined,
): void {
  const facts = { ...decisionFacts(undefined), roomVersion: version?.id }
  store.recordDecision(decisionOf(asked, outcome, facts, clock()))
}
