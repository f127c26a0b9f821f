/**
 * Fills a store with rooms that nobody asks for, in a few statements: members, extremities and joined servers as an
 * import leaves them, of events that are as long as real ones and signed by nobody.
 */
import { DatabaseSync } from '@photostructure/sqlite'
import { query } from './postgres.ts'
import type { PostgresPlace, SqlitePlace, StorePlace } from './store-place.ts'

/** Rooms, and joined members in each of them. */
export interface Crowd {
  readonly rooms: number
  readonly members: number
}

/** Rows are numbered from here on, behind those of the rooms that were imported. */
const FIRST = 100_000
const SERVERS = 1_000
/** What makes a member event about 700 bytes long. */
const SIGNATURES = 'x'.repeat(500)

/** Adds rooms to a store that no service runs on. */
export async function addCrowd(place: StorePlace, crowd: Crowd): Promise<void> {
  if (place.kind === 'sqlite') addToFile(place, crowd)
  else await addToDatabase(place, crowd)
}

function addToFile({ path }: SqlitePlace, { rooms, members }: Crowd): void {
  const db = new DatabaseSync(path)
  try {
    // It need not survive a crash while it is filled; the service sets this for itself.
    db.exec('PRAGMA synchronous = OFF')
    db.exec(`
      BEGIN;
      CREATE TEMP TABLE r AS WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ${rooms} - 1)
        SELECT ${FIRST} + n AS room, '!' || lower(hex(randomblob(9))) || ':here.bench.test' AS room_id FROM n;
      CREATE TEMP TABLE m AS WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ${members} - 1)
        SELECT r.room, r.room_id, ${FIRST} + (r.room - ${FIRST}) * ${members} + n.n AS event,
          '$' || lower(hex(randomblob(21))) AS event_id, 's' || ((r.room * ${members} + n.n) % ${SERVERS}) || '.test' AS server,
          'member' || n.n AS name
        FROM r CROSS JOIN n;
      INSERT INTO rooms (room, room_id, version, revision, facts_revision, resident, snapshot)
        SELECT room, room_id, '11', 1, 1, 1, room FROM r;
      INSERT INTO snapshots (snapshot, room, phase, changed_at, from_revision, version, own_server, discard_knocks, members, servers)
        SELECT room, room, 'current', 0, 1, '11', 'here.bench.test', 0, ${members}, ${members} FROM r;
      INSERT INTO events (event, room, snapshot, event_id, checked, json)
        SELECT event, room, room, event_id, 1, '{"content":{"membership":"join"},"room_id":"' || room_id ||
          '","sender":"@' || name || ':' || server || '","signatures":"${SIGNATURES}","type":"m.room.member"}' FROM m;
      INSERT INTO state (snapshot, type, state_key, from_revision, event, membership)
        SELECT room, 'm.room.member', '@' || name || ':' || server, 0, event, 'join' FROM m;
      INSERT INTO joined_servers (snapshot, server, members) SELECT room, server, 1 FROM m;
      INSERT INTO extremities (room, event_id, snapshot, depth, from_revision, kept)
        SELECT room, event_id, room, 20, 0, 0 FROM m WHERE (event - ${FIRST}) % ${members} = 0;
      COMMIT`)
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  } finally {
    db.close()
  }
}

async function addToDatabase({ url }: PostgresPlace, { rooms, members }: Crowd): Promise<void> {
  await query(
    url,
    'SET synchronous_commit = off',
    `CREATE TEMP TABLE r AS SELECT ${FIRST} + n AS room,
      convert_to('!' || substr(md5(n::text), 1, 18) || ':here.bench.test', 'UTF8') AS room_id
      FROM generate_series(0, ${rooms} - 1) n`,
    `CREATE TEMP TABLE m AS SELECT r.room, r.room_id, ${FIRST} + (r.room - ${FIRST}) * ${members} + n AS event,
      convert_to('$' || md5(r.room || '.' || n) || 'aaaaaaaaaaa', 'UTF8') AS event_id,
      convert_to('s' || (r.room * ${members} + n) % ${SERVERS} || '.test', 'UTF8') AS server,
      convert_to('@member' || n || ':s' || (r.room * ${members} + n) % ${SERVERS} || '.test', 'UTF8') AS user_id
      FROM r CROSS JOIN generate_series(0, ${members} - 1) n`,
    `INSERT INTO rooms (room, room_id, version, revision, facts_revision, resident, snapshot) OVERRIDING SYSTEM VALUE
      SELECT room, room_id, '11', 1, 1, true, room FROM r`,
    `INSERT INTO snapshots (snapshot, room, phase, changed_at, from_revision, version, own_server, discard_knocks, members, servers)
      OVERRIDING SYSTEM VALUE
      SELECT room, room, 'current', 0, 1, '11', 'here.bench.test', false, ${members}, ${members} FROM r`,
    `INSERT INTO events (event, room, snapshot, event_id, checked, json) OVERRIDING SYSTEM VALUE
      SELECT event, room, room, event_id, 1, '{"content":{"membership":"join"},"room_id":"'::bytea || room_id ||
        '","sender":"'::bytea || user_id || '","signatures":"${SIGNATURES}","type":"m.room.member"}'::bytea FROM m`,
    `INSERT INTO state (snapshot, type, state_key, from_revision, event, membership)
      SELECT room, 'm.room.member', user_id, 0, event, 'join' FROM m`,
    'INSERT INTO joined_servers (snapshot, server, members) SELECT room, server, 1 FROM m',
    `INSERT INTO extremities (room, event_id, snapshot, depth, from_revision, kept)
      SELECT room, event_id, room, 20, 0, false FROM m WHERE (event - ${FIRST}) % ${members} = 0`,
    ...['rooms.room', 'snapshots.snapshot', 'events.event'].map((column) => {
      const [table = '', key = ''] = column.split('.')
      return `SELECT setval(pg_get_serial_sequence('${table}', '${key}'), (SELECT max(${key}) FROM ${table}))`
    }),
    // What the server would do by itself in the next minutes, while others are measured.
    'VACUUM ANALYZE',
    'CHECKPOINT',
  )
}

/** Rooms and members in a store, as its own tables count them. */
export async function countCrowd(place: StorePlace): Promise<Crowd> {
  const count = `SELECT (SELECT count(*) FROM rooms) AS rooms,
    (SELECT count(*) FROM state WHERE membership = 'join') AS members`
  if (place.kind === 'postgres') {
    const [row] = await query<{ rooms: string; members: string }>(place.url, count)
    return { rooms: Number(row?.rooms), members: Number(row?.members) }
  }
  const db = new DatabaseSync(place.path, { readOnly: true })
  try {
    return db.prepare(count).get() as unknown as Crowd
  } finally {
    db.close()
  }
}
