/** What the two use cases are given where no room can be read, and the record of what they decide. */
import type { EventId, RoomId, ServerName, UserId } from '../../matrix/identifiers.ts'
import type { Refusal } from '../../matrix/refusal.ts'
import type { RoomVersion } from '../../matrix/room-versions.ts'
import type { KnockPolicy } from '../limits.ts'
import type { Upstream } from '../ports/homeserver.ts'
import type { Clock, Decision, RoomStore } from '../ports/rooms.ts'
import { decisionFacts } from '../room-checks.ts'
import type { SignaturePorts } from '../server-signature.ts'
import type { SeenVersions } from './seen-versions.ts'

export interface PassOnPorts extends SignaturePorts {
  /** Who knows the rooms and decides by their rules. */
  readonly upstream: Upstream
  readonly versions: SeenVersions
  readonly policy: KnockPolicy
  readonly store: Pick<RoomStore, 'recordDecision'>
  readonly clock: Clock
}

/** A knock as far as it can be told without the room. */
export interface PassedOnKnock {
  readonly endpoint: Decision['endpoint']
  readonly origin: ServerName
  readonly roomId: RoomId
  readonly userId: UserId
  readonly eventId: EventId | undefined
  /** The room's version, where the homeserver has named it. */
  readonly version: RoomVersion | undefined
}

/** Who let it in, and by what. */
export interface PassedOnAcceptance {
  readonly ok: true
  readonly rule: string
  readonly reason: string
}

/** Records a decision that rests on no room of ours. */
export function recordPassedOn(
  { store, clock }: PassOnPorts,
  { version, ...knock }: PassedOnKnock,
  outcome: Refusal | PassedOnAcceptance,
): void {
  store.recordDecision({
    time: clock(),
    ...knock,
    outcome: outcome.ok ? 'accepted' : 'refused',
    status: outcome.ok ? 200 : outcome.status,
    errcode: outcome.ok ? undefined : outcome.errcode,
    rule: outcome.rule,
    reason: outcome.ok ? outcome.reason : outcome.error,
    facts: { ...decisionFacts(undefined), roomVersion: version?.id },
  })
}
