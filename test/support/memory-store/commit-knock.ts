/** Records a knock in memory: one synchronous step, so nothing comes between. docs/architecture.md, "A commit". */
import type { CommitOutcome, KnockCommit } from '../../../src/knock/ports/rooms.ts'
import { membershipOf } from '../../../src/matrix/auth/knock-rules.ts'
import { prevEventIds } from '../../../src/matrix/pdu.ts'
import { headOf, holds, inUse, type MemoryRoom, removeJoined, stateAt, stateKeyOf } from './room-state.ts'

/** The newest that the room knows of an event that is or was an extremity. */
function depthOf(room: MemoryRoom, id: string): number | undefined {
  return room.snapshots.findLast(({ known }) => known.has(id as never))?.known.get(id as never)?.depth
}

export function commitInMemory(room: MemoryRoom | undefined, commit: KnockCommit, now: number): CommitOutcome {
  const { event, expect, sender } = commit
  if (room === undefined) return { kind: 'conflict' }
  if (room.accepted.has(event.eventId)) return { kind: 'duplicate' }
  const head = headOf(room)
  const snapshot = inUse(room)
  if (expect !== 'in the room' && holds(snapshot, event.eventId)) return { kind: 'duplicate' }
  const member = stateAt(snapshot, 'm.room.member', sender)
  const depths = prevEventIds(event.pdu).map((id) => depthOf(room, id))
  if (expect !== 'in the room') {
    if (!head.resident || head.factsRevision !== expect.factsRevision) return { kind: 'conflict' }
    if (membershipOf(member) !== expect.membership || depths.includes(undefined)) return { kind: 'conflict' }
  }

  const revision = ++room.revision
  room.accepted.set(event.eventId, event)
  room.acceptedAt.set(event.eventId, now)
  const key = stateKeyOf('m.room.member', sender)
  const values = snapshot.state.get(key) ?? []
  const last = values.at(-1)
  if (last !== undefined) last.endedAt = now
  if (member !== undefined) snapshot.knocks.delete(member.eventId)
  if (membershipOf(member) === 'join') removeJoined(snapshot, sender)
  values.push({ from: revision, event, endedAt: undefined })
  snapshot.state.set(key, values)
  snapshot.knocks.set(event.eventId, false)

  for (const id of prevEventIds(event.pdu)) {
    const known = snapshot.known.get(id)
    if (snapshot.extremities.remove(id) && known !== undefined) known.endedAt = now
  }
  // Its depth is ours where we know what it follows; else the room, which has taken it, has taken its own.
  const depth = depths.includes(undefined) ? event.pdu.depth : deepest(depths) + 1
  snapshot.extremities.remove(event.eventId)
  snapshot.known.set(event.eventId, { eventId: event.eventId, depth, from: revision, endedAt: undefined })
  snapshot.extremities.add({ eventId: event.eventId, depth })
  return { kind: 'committed', revision }
}

function deepest(depths: readonly (number | undefined)[]): number {
  return Math.min(Math.max(0, ...depths.map((depth) => depth ?? 0)), Number.MAX_SAFE_INTEGER - 1)
}
