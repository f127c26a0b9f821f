/** Forgets what ended before the kept history. docs/architecture.md, "What is kept of a room". */
import { inUse, type MemoryRoom } from './room-state.ts'

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
