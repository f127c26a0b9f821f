/** Counts what was stored, so that every answer of 200 is known to have been true. */
import { DatabaseSync } from '@photostructure/sqlite'
import type { LoadResult } from './load-protocol.ts'

/** Accepted knocks in the service's store. */
export function storedKnocks(path: string): number {
  return count(path, 'SELECT count(DISTINCT event_id) AS count FROM events WHERE snapshot = 0')
}

/** Rows of the send_knock floor. */
export function storedInFloor(path: string): number {
  return count(path, 'SELECT count(*) AS count FROM events')
}

/** Runs a load. @throws Error where other than one row was stored for each answer */
export async function storing(stored: () => number, run: () => Promise<LoadResult>): Promise<LoadResult> {
  const before = stored()
  const result = await run()
  const added = stored() - before
  if (added !== result.answers) throw new Error(`${result.answers} knocks were answered 200, ${added} are stored`)
  return result
}

function count(path: string, query: string): number {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    return (db.prepare(query).get() as { count: number }).count
  } finally {
    db.close()
  }
}
