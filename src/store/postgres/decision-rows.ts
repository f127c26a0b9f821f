/** Decisions as rows: written for audits, bounded, read newest first. */
import type { Decision } from '../../knock/ports.ts'
import type { DecisionFilter } from '../../knock/store-ports.ts'
import type { RefusalRow } from '../jobs.ts'
import { decodeDecision } from '../stored-decision.ts'
import { bytes } from './bytea.ts'
import type { Database, Statement, Value } from './database.ts'

const WRITE: Statement = {
  name: 'refusals',
  text: `
    INSERT INTO decisions (refused, room_id, user_id, json)
    SELECT true, r.room_id, r.user_id, r.json
    FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) WITH ORDINALITY r(room_id, user_id, json, at) ORDER BY r.at`,
}

function newest(name: string, condition: string): Statement {
  return { name, text: `SELECT json FROM decisions ${condition} ORDER BY seq DESC LIMIT $1` }
}
const ALL = newest('decisions', '')
const OF_ROOM = newest('decisions-of-room', 'WHERE room_id = $2')
const OF_USER = newest('decisions-of-user', 'WHERE user_id = $2')
const OF_BOTH = newest('decisions-of-both', 'WHERE user_id = $2 AND room_id = $3')

/** Writes refusals. Not tried again once they may have been written: a record twice is worse than one that is missing. */
export function createDecisionWriter({ runOnce }: Database): (rows: readonly RefusalRow[]) => Promise<null> {
  return async (rows) => {
    const each = (item: (row: RefusalRow) => string) => rows.map((row) => bytes(item(row)))
    await runOnce(WRITE, [each(({ roomId }) => roomId), each(({ userId }) => userId), each(({ json }) => json)])
    return null
  }
}

/** The decisions that a filter asks for, newest first. */
export function createDecisionReader({ run }: Database): (filter: DecisionFilter) => Promise<readonly Decision[]> {
  return async (filter) => {
    const rows = await run<{ json: Buffer }>(...questionOf(filter))
    return rows.map(({ json }) => decodeDecision(json))
  }
}

function questionOf({ roomId, userId, limit }: DecisionFilter): readonly [Statement, readonly Value[]] {
  if (roomId !== undefined && userId !== undefined) return [OF_BOTH, [limit, bytes(userId), bytes(roomId)]]
  if (roomId !== undefined) return [OF_ROOM, [limit, bytes(roomId)]]
  if (userId !== undefined) return [OF_USER, [limit, bytes(userId)]]
  return [ALL, [limit]]
}
