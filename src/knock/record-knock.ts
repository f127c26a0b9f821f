/** Records a knock: one transaction with the event, the membership, the extremities, the decision and the order to deliver it. */
import { type ServerName, serverNameOf } from '../matrix/identifiers.ts'
import type { Clock, CommitOutcome, KnockAttempt, KnockCommit, RoomStore } from './ports/rooms.ts'

export interface RecordPorts {
  /** Our own, undelegated name. */
  readonly serverName: ServerName
  readonly store: Pick<RoomStore, 'commitKnock'>
  readonly clock: Clock
}

/**
 * Records an accepted knock.
 * @param expect what the decision rests on
 * @param deliveredBy who brings it to the room's other servers
 */
export async function recordKnock(
  { serverName, store, clock }: RecordPorts,
  { event, decision }: KnockAttempt,
  expect: KnockCommit['expect'],
  deliveredBy: 'us' | 'homeserver',
): Promise<CommitOutcome> {
  const { roomId, userId } = decision
  return store.commitKnock({
    roomId,
    event,
    sender: userId,
    expect,
    decision: { ...decision, time: clock() },
    skipServers: deliveredBy === 'homeserver' ? 'all' : [serverName, serverNameOf(userId)],
  })
}
