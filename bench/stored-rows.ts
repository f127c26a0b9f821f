/** Counts what was stored, so that every answer of 200 is known to have been true. */
import { DatabaseSync } from '@photostructure/sqlite'
import type { LoadResult } from './load-protocol.ts'
import { query } from './postgres.ts'
import type { StorePlace } from './store-place.ts'

const ACCEPTED = 'SELECT count(DISTINCT event_id) AS count FROM events WHERE snapshot = 0'

/** Accepted knocks in a service's store. */
export async function storedKnocks(place: StorePlace): Promise<number> {
  if (place.kind === 'sqlite') return count(place.path, ACCEPTED)
  const [row] = await query<{ count: string }>(place.url, ACCEPTED)
  return Number(row?.count)
}

/** Rows of the send_knock floor. */
export async function storedInFloor(path: string): Promise<number> {
  return count(path, 'SELECT count(*) AS count FROM events')
}

/** Runs a load. @throws Error where other than one row was stored for each answer */
export async function storing<Result extends LoadResult>(
  stored: () => Promise<number>,
  run: () => Promise<Result>,
): Promise<Result> {
  const before = await stored()
  const result = await run()
  const added = (await stored()) - before
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
