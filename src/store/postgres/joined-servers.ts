/** Joined members per server of a snapshot: who gets an accepted knock, and whether we are in the room. */
import { bytes } from './bytea.ts'
import type { Run, Statement } from './database.ts'

const ADD: Statement = {
  name: 'joined-add',
  text: `
    INSERT INTO joined_servers AS j (snapshot, server, members)
    SELECT $1, a.server, a.members FROM unnest($2::bytea[], $3::bigint[]) a(server, members) ORDER BY a.server
    ON CONFLICT (snapshot, server) DO UPDATE SET members = j.members + excluded.members
    RETURNING (xmax = 0) AS first`,
}
const TAKE: Statement = {
  name: 'joined-take',
  text: `
    UPDATE joined_servers j SET members = j.members - t.members
    FROM unnest($2::bytea[], $3::bigint[]) t(server, members)
    WHERE j.snapshot = $1 AND j.server = t.server
    RETURNING t.members AS taken`,
}
const DROP: Statement = {
  name: 'joined-drop',
  text: `
    DELETE FROM joined_servers WHERE snapshot = $1 AND server = ANY ($2::bytea[]) AND members <= 0 RETURNING server`,
}
const TOTAL: Statement = {
  name: 'joined-total',
  text: 'UPDATE snapshots SET members = members + $2, servers = servers + $3 WHERE snapshot = $1',
}

/** Counts more joined members, by server. */
export async function addJoined(run: Run, snapshot: number, counts: ReadonlyMap<string, number>): Promise<void> {
  if (counts.size === 0) return
  const rows = await run<{ first: boolean }>(ADD, [snapshot, [...counts.keys()].map(bytes), [...counts.values()]])
  const members = [...counts.values()].reduce((sum, count) => sum + count, 0)
  await run(TOTAL, [snapshot, members, rows.filter(({ first }) => first).length])
}

/** The members with these ids are joined no longer. */
export async function removeJoined(run: Run, snapshot: number, userIds: readonly string[]): Promise<void> {
  const counts = new Map<string, number>()
  for (const userId of userIds) {
    const server = userId.slice(userId.indexOf(':') + 1)
    counts.set(server, (counts.get(server) ?? 0) + 1)
  }
  if (counts.size === 0) return
  const servers = [...counts.keys()].map(bytes)
  const taken = await run<{ taken: number }>(TAKE, [snapshot, servers, [...counts.values()]])
  const dropped = await run(DROP, [snapshot, servers])
  const members = taken.reduce((sum, row) => sum + row.taken, 0)
  await run(TOTAL, [snapshot, -members, -dropped.length])
}
