/** What holds in every store on disk, as questions for the rows that break it. docs/storage.md */

/** Where the two databases say the same in other words. */
export interface Dialect {
  /** The server of a user id in a column. */
  serverOf(column: string): string
  isTrue(column: string): string
}

export interface Invariant {
  /** Selects rows that break it, with text in `room`, `name` and `key`, and counts in `stored` and `counted`. */
  readonly sql: string
  tell(row: BrokenRow): string
}

/** As far as the statement selects them. */
export interface BrokenRow {
  readonly room: string
  readonly name: string
  readonly key: string
  readonly stored: number
  readonly counted: number
}

/** Rows that each question answers with at most. */
export const MOST_TOLD = 20

const CURRENT = 'JOIN rooms r ON r.snapshot = n.snapshot'

export function invariants(dialect: Dialect): readonly Invariant[] {
  return [...ofRooms(dialect), ...ofStateAndEnds(dialect), ...ofDeliveries()].map(({ sql, tell }) => ({
    sql: `${sql} LIMIT ${MOST_TOLD}`,
    tell,
  }))
}

function ofRooms({ serverOf, isTrue }: Dialect): readonly Invariant[] {
  return [
    {
      sql: `SELECT r.room_id AS room FROM rooms r WHERE r.snapshot IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM snapshots n WHERE n.snapshot = r.snapshot AND n.room = r.room AND n.phase = 'current')`,
      tell: ({ room }) => `${room}: the state that is in use is not there`,
    },
    {
      sql: `SELECT r.room_id AS room FROM rooms r WHERE r.snapshot IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM flaws f WHERE f.snapshot = r.snapshot AND f.type = 'm.room.create' AND f.state_key = '')
        AND NOT EXISTS (SELECT 1 FROM state s JOIN events e ON e.event = s.event WHERE s.snapshot = r.snapshot
          AND s.type = 'm.room.create' AND s.state_key = '' AND e.event_id = r.create_event)`,
      tell: ({ room }) => `${room}: its create event is not in its state`,
    },
    {
      sql: `SELECT r.room_id AS room, c.server AS name, sum(c.stored) AS stored, sum(c.counted) AS counted
        FROM (SELECT snapshot, server, members AS stored, 0 AS counted FROM joined_servers
          UNION ALL SELECT s.snapshot, ${serverOf('s.state_key')} AS server, 0 AS stored, 1 AS counted FROM state s
            WHERE s.type = 'm.room.member' AND s.membership = 'join' AND s.to_revision IS NULL) c
          JOIN rooms r ON r.snapshot = c.snapshot
        GROUP BY r.room_id, c.server HAVING sum(c.stored) <> sum(c.counted)`,
      tell: ({ room, name, stored, counted }) =>
        `${room}: ${counted} members of ${name} are joined, ${stored} are counted`,
    },
    {
      sql: `SELECT r.room_id AS room, n.members AS stored, coalesce(sum(j.members), 0) AS counted
        FROM snapshots n ${CURRENT} LEFT JOIN joined_servers j ON j.snapshot = n.snapshot
        GROUP BY r.room_id, n.members, n.servers
        HAVING n.members <> coalesce(sum(j.members), 0) OR n.servers <> count(j.server)`,
      tell: ({ room, stored, counted }) =>
        `${room}: ${stored} members in all are counted, its servers have ${counted}, or their number differs`,
    },
    {
      sql: `SELECT r.room_id AS room FROM snapshots n ${CURRENT} WHERE ${isTrue('r.resident')} <> EXISTS (
        SELECT 1 FROM joined_servers j WHERE j.snapshot = n.snapshot AND j.server = n.own_server)`,
      tell: ({ room }) => `${room}: whether we are in it is told otherwise by its members`,
    },
  ]
}

function ofStateAndEnds({ isTrue }: Dialect): readonly Invariant[] {
  return [
    {
      sql: `SELECT r.room_id AS room, s.type AS name, s.state_key AS key
        FROM state s JOIN snapshots n ON n.snapshot = s.snapshot JOIN rooms r ON r.room = n.room
        WHERE n.phase IN ('current', 'former') AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event = s.event)`,
      tell: ({ room, name, key }) => `${room}: the event of ${name} ${JSON.stringify(key)} is not there`,
    },
    {
      sql: `SELECT r.room_id AS room, s.type AS name, s.state_key AS key FROM state s JOIN rooms r ON r.snapshot = s.snapshot
        WHERE s.to_revision IS NULL AND s.from_revision >= 0 GROUP BY r.room_id, s.snapshot, s.type, s.state_key HAVING count(*) > 1`,
      tell: ({ room, name, key }) => `${room}: ${name} ${JSON.stringify(key)} has two values at once`,
    },
    {
      sql: `SELECT r.room_id AS room, x.event_id AS name FROM extremities x JOIN rooms r ON r.snapshot = x.snapshot
        WHERE x.to_revision IS NULL AND NOT EXISTS (SELECT 1 FROM events e
          WHERE e.room = x.room AND e.event_id = x.event_id AND e.snapshot IN (0, x.snapshot))`,
      tell: ({ room, name }) => `${room}: the event of its extremity ${name} is not there`,
    },
    {
      sql: `SELECT r.room_id AS room FROM rooms r WHERE r.snapshot IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM extremities x WHERE x.snapshot = r.snapshot AND x.to_revision IS NULL)`,
      tell: ({ room }) => `${room}: it has no extremity`,
    },
    {
      sql: `SELECT r.room_id AS room, coalesce(e.event_id, '') AS name FROM knocks k JOIN rooms r ON r.snapshot = k.snapshot
        LEFT JOIN events e ON e.event = k.event
        WHERE e.event IS NULL OR (NOT ${isTrue('k.in_file')} AND NOT EXISTS (SELECT 1 FROM state s
          WHERE s.snapshot = k.snapshot AND s.type = 'm.room.member' AND s.event = k.event AND s.to_revision IS NULL))`,
      tell: ({ room, name }) => `${room}: the accepted knock ${name} is the membership of nobody`,
    },
  ]
}

function ofDeliveries(): readonly Invariant[] {
  const waits = ({ name }: BrokenRow) => `${name}: an event that waits for it is not there`
  return [
    {
      sql: 'SELECT o.last_server AS name FROM outbox o WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.event = o.event)',
      tell: () => 'the outbox: a knock that waits for delivery is not there',
    },
    {
      sql: `SELECT v.destination AS name FROM deliveries v
        WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.event = v.event)`,
      tell: waits,
    },
    {
      sql: `SELECT c.destination AS name, sum(c.stored) AS stored, sum(c.counted) AS counted
        FROM (SELECT destination, waiting AS stored, 0 AS counted FROM destinations
          UNION ALL SELECT destination, 0 AS stored, 1 AS counted FROM deliveries) c
        GROUP BY c.destination HAVING sum(c.stored) <> sum(c.counted)`,
      tell: ({ name, stored, counted }) => `${name}: ${counted} events wait for it, ${stored} are counted`,
    },
  ]
}
