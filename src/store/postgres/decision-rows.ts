/** Decisions as rows: written for audits, bounded, read newest first. */
import type { Decision } from '../../knock/ports/rooms.ts'
import type { DecisionFilter } from '../../knock/ports/store.ts'
import type { CommonJobs, DecisionRow } from '../jobs.ts'
import { decodeDecision } from '../stored-decision.ts'
import { bytes } from './bytea.ts'
import type { Database, Statement, Value } from './database.ts'
import type { Handlers } from './job-runner.ts'

const WRITE: Statement = {
  name: 'write-decisions',
  text: `
    INSERT INTO decisions (refused, recorded_at, room_id, user_id, json)
    SELECT r.refused, $1, r.room_id, r.user_id, r.json
    FROM unnest($2::boolean[], $3::bytea[], $4::bytea[], $5::bytea[])
      WITH ORDINALITY r(refused, room_id, user_id, json, at) ORDER BY r.at`,
}

function newest(name: string, condition: string): Statement {
  return { name, text: `SELECT json FROM decisions ${condition} ORDER BY seq DESC LIMIT $1` }
}
const ALL = newest('decisions', '')
const OF_ROOM = newest('decisions-of-room', 'WHERE room_id = $2')
const OF_USER = newest('decisions-of-user', 'WHERE user_id = $2')
const OF_BOTH = newest('decisions-of-both', 'WHERE user_id = $2 AND room_id = $3')

/** Writes decisions. Not tried again once they may have been written: a record twice is worse than one that is missing. */
export function createDecisionWriter({ runOnce }: Database): Handlers<CommonJobs>['decisions'] {
  return async ({ now, rows }) => {
    const each = (item: (row: DecisionRow) => string) => rows.map((row) => bytes(item(row)))
    const refused = rows.map((row) => row.refused)
    const texts = [each(({ roomId }) => roomId), each(({ userId }) => userId), each(({ json }) => json)]
    await runOnce(WRITE, [now, refused, ...texts])
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
