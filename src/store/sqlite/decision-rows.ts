/** Decisions as rows: written for audits, bounded, read newest first. */

import type { Decision } from '../../knock/ports/rooms.ts'
import type { DecisionFilter } from '../../knock/ports/store.ts'
import { decodeDecision } from '../stored-decision.ts'
import type { Database } from './database.ts'
import type { Handlers } from './writer-jobs.ts'

export function createDecisionWriter(db: Database): Pick<Handlers, 'decisions'> {
  const insert = db.prepare(
    'INSERT INTO decisions (refused, recorded_at, room_id, user_id, json) VALUES (?, ?, ?, ?, ?)',
  )
  return {
    decisions({ now, rows }) {
      for (const { roomId, userId, refused, json } of rows) insert.run(refused ? 1 : 0, now, roomId, userId, json)
      return null
    },
  }
}

/** The decisions that a filter asks for, newest first. */
export function createDecisionReader(db: Database): (filter: DecisionFilter) => readonly Decision[] {
  const all = db.prepare('SELECT json FROM decisions ORDER BY seq DESC LIMIT ?')
  const ofRoom = db.prepare('SELECT json FROM decisions WHERE room_id = ? ORDER BY seq DESC LIMIT ?')
  const ofUser = db.prepare('SELECT json FROM decisions WHERE user_id = ? ORDER BY seq DESC LIMIT ?')
  const ofBoth = db.prepare('SELECT json FROM decisions WHERE user_id = ? AND room_id = ? ORDER BY seq DESC LIMIT ?')
  return ({ roomId, userId, limit }) => {
    const rows =
      roomId !== undefined && userId !== undefined
        ? ofBoth.all(userId, roomId, limit)
        : roomId !== undefined
          ? ofRoom.all(roomId, limit)
          : userId !== undefined
            ? ofUser.all(userId, limit)
            : all.all(limit)
    return (rows as { json: string }[]).map(({ json }) => decodeDecision(json))
  }
}
