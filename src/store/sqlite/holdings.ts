/** What the file holds, as its triggers count it. */
import type { Holdings } from '../../knock/ports/rooms.ts'
import type { Database } from './database.ts'

interface Counted {
  readonly rows: number
  readonly bytes: number
}

const NOTHING: Counted = { rows: 0, bytes: 0 }

/** Beside the name of its server, a row of the outbox is a few numbers. */
const OUTBOX_ROW_BYTES = 16

export function createHoldingsReader(db: Database): () => Holdings {
  const counted = db.prepare('SELECT name, row_count AS rows, bytes FROM holdings')
  // Each destination counts what waits for it.
  const outbox = db.prepare(`
    SELECT coalesce(sum(waiting), 0) AS rows,
      coalesce(sum(waiting * (octet_length(destination) + ${OUTBOX_ROW_BYTES})), 0) AS bytes FROM destinations`)
  return () => {
    const rows = counted.all() as unknown as (Counted & { readonly name: string })[]
    const held = (name: string): Counted => {
      const { rows: found, bytes } = rows.find((row) => row.name === name) ?? NOTHING
      return { rows: found, bytes }
    }
    const [refusals, acceptances] = [held('refusals'), held('acceptances')]
    return {
      rooms: held('rooms'),
      events: held('events'),
      decisions: { rows: refusals.rows + acceptances.rows, bytes: refusals.bytes + acceptances.bytes },
      attempts: held('attempts'),
      outbox: outbox.get() as unknown as Counted,
      keys: held('keys'),
    }
  }
}
