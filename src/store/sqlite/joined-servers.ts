/** Joined members per server of a snapshot: who gets an accepted knock, and whether we are in the room. */
import type { Database } from './database.ts'

export interface JoinedServers {
  /** Counts more joined members, by server. */
  add(snapshot: number, members: ReadonlyMap<string, number>): void
  /** One joined member less. */
  remove(snapshot: number, userId: string): void
}

export function createJoinedServers(db: Database): JoinedServers {
  const add = db.prepare(`
    INSERT INTO joined_servers (snapshot, server, members) VALUES (?1, ?2, ?3)
    ON CONFLICT (snapshot, server) DO UPDATE SET members = members + ?3 RETURNING members`)
  const take = db.prepare(
    'UPDATE joined_servers SET members = members - 1 WHERE snapshot = ? AND server = ? RETURNING members',
  )
  const drop = db.prepare('DELETE FROM joined_servers WHERE snapshot = ? AND server = ?')
  const total = db.prepare('UPDATE snapshots SET members = members + ?, servers = servers + ? WHERE snapshot = ?')
  return {
    add(snapshot, counts) {
      let members = 0
      let servers = 0
      for (const [server, count] of counts) {
        const row = add.get(snapshot, server, count) as { members: number }
        members += count
        if (row.members === count) servers++
      }
      total.run(members, servers, snapshot)
    },
    remove(snapshot, userId) {
      const server = userId.slice(userId.indexOf(':') + 1)
      const row = take.get(snapshot, server) as { members: number } | undefined
      if (row === undefined) return
      if (row.members === 0) drop.run(snapshot, server)
      total.run(-1, row.members === 0 ? -1 : 0, snapshot)
    },
  }
}
