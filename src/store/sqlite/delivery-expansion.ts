/** Turns accepted knocks into rows per destination, in chunks. docs/architecture.md, "A commit". */
import { EXPANDED_SERVERS } from '../outgoing-transaction.ts'
import type { Database } from './database.ts'
import type { Handlers } from './writer-jobs.ts'

interface OutboxRow {
  readonly event: number
  readonly snapshot: number
  readonly skipServers: string
  readonly lastServer: string
  readonly queuedAt: number
}

/** What one transaction adds for one destination. */
interface Added {
  readonly rows: number
  /** When the first of them was queued. */
  readonly oldestAt: number
}

export function createExpansion(db: Database): Handlers['expand'] {
  // A snapshot that is gone after the kept history leaves the servers of the one in use.
  const nextKnock = db.prepare(`
    SELECT o.event, o.skip_servers AS skipServers, o.last_server AS lastServer, o.queued_at AS queuedAt,
      CASE WHEN s.phase IN ('current', 'former') THEN o.snapshot ELSE r.snapshot END AS snapshot
    FROM outbox o JOIN events e ON e.event = o.event JOIN rooms r ON r.room = e.room
      LEFT JOIN snapshots s ON s.snapshot = o.snapshot
    ORDER BY o.event LIMIT 1`)
  const servers = db.prepare(
    'SELECT server FROM joined_servers WHERE snapshot = ? AND server > ? ORDER BY server LIMIT ?',
  )
  const addDelivery = db.prepare(`
    INSERT INTO deliveries (destination, event, queued_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`)
  const addWaiting = db.prepare('UPDATE destinations SET waiting = waiting + ? WHERE destination = ?')
  const addDestination = db.prepare(`
    INSERT INTO destinations (destination, due_at, waiting, oldest_at, slow)
    VALUES (?1, ?2, ?3, ?4, EXISTS (SELECT 1 FROM slow_servers WHERE server = ?1))`)
  const proceed = db.prepare('UPDATE outbox SET last_server = ? WHERE event = ?')
  const finish = db.prepare('DELETE FROM outbox WHERE event = ?')

  /** Turns one knock into at most `budget` rows, and counts them; how much of the budget is left. */
  const expandOne = (knock: OutboxRow, added: Map<string, Added>, budget: number): number => {
    const skip = new Set(JSON.parse(knock.skipServers) as string[])
    const chunk = servers.all(knock.snapshot, knock.lastServer, budget) as { server: string }[]
    for (const { server } of chunk) {
      if (skip.has(server) || Number(addDelivery.run(server, knock.event, knock.queuedAt).changes) === 0) continue
      const { rows, oldestAt } = added.get(server) ?? { rows: 0, oldestAt: knock.queuedAt }
      added.set(server, { rows: rows + 1, oldestAt })
    }
    const last = chunk[budget - 1]
    if (last === undefined) finish.run(knock.event)
    else proceed.run(last.server, knock.event)
    return budget - Math.max(chunk.length, 1)
  }

  return ({ now }) => {
    const added = new Map<string, Added>()
    let budget = EXPANDED_SERVERS
    let knock = nextKnock.get() as OutboxRow | undefined
    while (knock !== undefined && budget > 0) {
      budget = expandOne(knock, added, budget)
      knock = nextKnock.get() as OutboxRow | undefined
    }
    for (const [destination, { rows, oldestAt }] of added) {
      const { changes } = addWaiting.run(rows, destination)
      if (Number(changes) === 0) addDestination.run(destination, now, rows, oldestAt)
    }
    return knock !== undefined
  }
}
