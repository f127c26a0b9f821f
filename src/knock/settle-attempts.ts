/**
 * Settles attempts whose outcome was not seen: a knock that turns out to be in its room is recorded, and so delivered, as if
 * that had been seen at once. Nothing is given to the homeserver a second time; only the remote can ask for that.
 */
import type { RoomId } from '../matrix/identifiers.ts'
import type { RoomWitness } from './ports/homeserver.ts'
import type { KnockAttempt } from './ports/rooms.ts'
import { type RecordPorts, recordKnock } from './record-knock.ts'

export interface SettlingPorts extends RecordPorts {
  readonly witness: Pick<RoomWitness, 'whichAreIn'>
}

export interface Settlement {
  /** Those that were recorded by this. */
  readonly settled: readonly KnockAttempt[]
  /** Something could be found out: the homeserver answered for one of the rooms, and what was found could be recorded. */
  readonly answered: boolean
}

/**
 * Looks once for each of some attempts. Those that are not in their room stay attempts.
 * @param deadline absolute time in milliseconds after which the homeserver is no longer waited for
 */
export async function settleAttempts(
  ports: SettlingPorts,
  attempts: readonly KnockAttempt[],
  deadline: number,
): Promise<Settlement> {
  const rooms = new Map<RoomId, KnockAttempt[]>()
  for (const attempt of attempts) {
    const { roomId } = attempt.decision
    rooms.set(roomId, [...(rooms.get(roomId) ?? []), attempt])
  }
  const settlements = await Promise.all(
    [...rooms].map(([roomId, ofRoom]) => settleInRoom(ports, roomId, ofRoom, deadline)),
  )
  return {
    settled: settlements.flatMap(({ settled }) => settled),
    answered: settlements.length === 0 || settlements.some(({ answered }) => answered),
  }
}

async function settleInRoom(
  ports: SettlingPorts,
  roomId: RoomId,
  attempts: readonly KnockAttempt[],
  deadline: number,
): Promise<Settlement> {
  const eventIds = attempts.map(({ event: { eventId } }) => eventId)
  const present = await ports.witness.whichAreIn(roomId, eventIds, deadline)
  const settled: KnockAttempt[] = []
  for (const attempt of attempts.filter(({ event }) => present?.has(event.eventId))) {
    const decision = { ...attempt.decision, reason: 'accepted: it was seen in the room later' }
    // A duplicate was recorded because the remote tried again, a conflict is a room that is not known here any more.
    const outcome = await recordKnock(ports, { ...attempt, decision }, 'in the room', 'us')
    if (outcome.kind === 'failed') return { settled, answered: false }
    if (outcome.kind === 'committed') settled.push(attempt)
  }
  return { settled, answered: present !== undefined }
}
