/** Places in the state of rooms whose events cannot be used. */
import type { RoomAdministration, SlotFlaw } from '../../knock/ports/store.ts'
import type { RoomId } from '../../matrix/identifiers.ts'
import { bytes, text } from './bytea.ts'
import type { Database, Statement } from './database.ts'

/** A row of `flaws` as statements select it. */
export interface FlawRow {
  readonly type: Buffer
  readonly stateKey: Buffer
  readonly reason: Buffer
}

const COLUMNS = 'SELECT r.room_id AS "roomId", f.type, f.state_key AS "stateKey", f.reason'
const OF_ROOM: Statement = {
  name: 'flaws-of-room',
  text: `${COLUMNS} FROM rooms r JOIN flaws f ON f.snapshot = r.snapshot WHERE r.room_id = $1 LIMIT $2`,
}
const OF_TYPES: Statement = {
  name: 'flaws-of-types',
  text: `
    ${COLUMNS} FROM flaws f JOIN snapshots n ON n.snapshot = f.snapshot JOIN rooms r ON r.room = n.room
    WHERE f.type = ANY ($1::bytea[]) AND f.state_key = '' AND r.snapshot = f.snapshot LIMIT $2`,
}

export function flawOf({ type, stateKey, reason }: FlawRow): SlotFlaw {
  return { type: text(type), stateKey: text(stateKey), reason: text(reason) }
}

export function createFlawList({ run }: Database): RoomAdministration['listFlaws'] {
  return async (filter) => {
    const { limit } = filter
    const [statement, subject] =
      'roomId' in filter ? [OF_ROOM, bytes(filter.roomId)] : [OF_TYPES, filter.types.map(bytes)]
    const rows = await run<FlawRow & { readonly roomId: Buffer }>(statement, [subject, limit])
    return rows.map((row) => ({ roomId: text(row.roomId) as RoomId, ...flawOf(row) }))
  }
}
