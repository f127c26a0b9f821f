/** Forgets what ended before the kept history. docs/architecture.md, "What is kept of a room". */
import { inUse, type MemoryRoom, stateKeyOf } from './room-state.ts'

/** @param before milliseconds since the epoch; accepted events recorded then or before go where nothing rests on them */
export function forgetAccepted({ accepted, acceptedAt, snapshots }: MemoryRoom, before: number): void {
  for (const [id, recordedAt] of acceptedAt) {
    if (recordedAt > before) continue
    const event = accepted.get(id)
    const isUsed = snapshots.some(
      ({ state, known, knocks }) =>
        knocks.has(id) ||
        known.has(id) ||
        state.get(stateKeyOf('m.room.member', event?.pdu.sender ?? ''))?.some((value) => value.event.eventId === id),
    )
    if (isUsed) continue
    accepted.delete(id)
    acceptedAt.delete(id)
  }
}

/** @param cutoff milliseconds since the epoch; what ended then or before is forgotten */
export function forgetEnded(room: MemoryRoom, cutoff: number): void {
  const isOver = ({ endedAt = Number.POSITIVE_INFINITY }: { endedAt: number | undefined }) => endedAt <= cutoff
  const kept = room.snapshots.filter((snapshot) => !isOver(snapshot))
  room.snapshots.splice(0, room.snapshots.length, ...kept)
  const { known, state } = inUse(room)
  for (const [id, extremity] of known) if (isOver(extremity)) known.delete(id)
  for (const [key, values] of state) {
    if (values.some(isOver))
      state.set(
        key,
        values.filter((value) => !isOver(value)),
      )
  }
}
