/** Late signature checks on rooms in memory. */
import type { SignatureAudit } from '../../../src/knock/ports/store.ts'
import type { RoomId } from '../../../src/matrix/identifiers.ts'
import type { RoomEvent } from '../../../src/matrix/pdu.ts'
import { WRONGLY_SIGNED } from '../../../src/store/flaw-reasons.ts'
import { inUse, type MemoryRoom, removeJoined, type Snapshot, stateKeyOf } from './room-state.ts'

export function createSignatureAudit(rooms: ReadonlyMap<RoomId, MemoryRoom>): SignatureAudit {
  let asked = 0
  return {
    async unverifiedEvents(limit) {
      const all = [...rooms.values()].flatMap((room) =>
        [...inUse(room).events.values()]
          .filter(({ signatures }) => signatures === 'unchecked')
          .map(({ event }) => ({ roomId: room.roomId, event })),
      )
      // Each call goes on where the last one ended, so that events whose keys stay away do not hide the others.
      const from = all.length === 0 ? 0 : asked % all.length
      const batch = [...all.slice(from), ...all.slice(0, from)].slice(0, limit)
      asked = from + batch.length
      return batch
    },
    async settle(roomId, eventId, verdict) {
      const room = rooms.get(roomId)
      if (room === undefined) return
      let settled = 0
      for (const snapshot of room.snapshots) {
        const found = snapshot.events.get(eventId)
        if (found?.signatures !== 'unchecked') continue
        settled++
        found.signatures = verdict === 'verified' ? 'good' : 'wrong'
        if (verdict === 'wrong') leaveOut(snapshot, found.event)
      }
      if (verdict === 'verified' || settled === 0) return
      room.revision++
      room.factsRevision = room.revision
    },
  }
}

function leaveOut(snapshot: Snapshot, { eventId, pdu }: RoomEvent): void {
  const key = stateKeyOf(pdu.type, pdu.state_key ?? '')
  const values = snapshot.state.get(key) ?? []
  const others = values.filter(({ event }) => event.eventId !== eventId)
  const branches = snapshot.branchValues.get(key) ?? []
  const otherBranches = branches.filter((event) => event.eventId !== eventId)
  if (others.length === values.length && otherBranches.length === branches.length) return
  snapshot.state.set(key, others)
  snapshot.branchValues.set(key, otherBranches)
  const { type, state_key: stateKey = '' } = pdu
  if (!snapshot.flaws.has(key)) snapshot.flaws.set(key, { type, stateKey, reason: WRONGLY_SIGNED })
  if (pdu.type === 'm.room.member' && pdu.content.membership === 'join') removeJoined(snapshot, pdu.state_key ?? '')
}
