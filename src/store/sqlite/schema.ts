/**
 * The tables of the embedded store, as numbered migrations: what is released is never edited, only added to.
 * What they hold is described in docs/architecture.md, "What is kept of a room".
 */

/** A room's state is a snapshot (one import) and the changes on top of it. */
const TABLES = `
CREATE TABLE rooms (
  room INTEGER PRIMARY KEY,
  room_id TEXT NOT NULL UNIQUE,
  version TEXT NOT NULL,
  create_event TEXT,
  revision INTEGER NOT NULL,
  facts_revision INTEGER NOT NULL,
  resident INTEGER NOT NULL,
  snapshot INTEGER                     -- in use; NULL while the first import is still staging
) STRICT;

CREATE TABLE snapshots (
  snapshot INTEGER PRIMARY KEY AUTOINCREMENT,
  room INTEGER NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('staging', 'current', 'former', 'dropping')),
  changed_at INTEGER NOT NULL,         -- staging: last sign of life; former: when it went out of use
  from_revision INTEGER,               -- the revision at which it came into use
  version TEXT NOT NULL,
  own_server TEXT NOT NULL,
  discard_knocks INTEGER NOT NULL,
  base INTEGER,                        -- the snapshot whose knocks were taken over so far
  last_knock INTEGER NOT NULL DEFAULT 0, -- the last of them
  members INTEGER NOT NULL DEFAULT 0,
  servers INTEGER NOT NULL DEFAULT 0,
  flaw TEXT                            -- why it must not come into use
) STRICT;
CREATE INDEX snapshots_by_phase ON snapshots (phase, changed_at);
CREATE INDEX snapshots_of_room ON snapshots (room);

CREATE TABLE events (
  event INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: readers cache by it
  room INTEGER NOT NULL,
  snapshot INTEGER NOT NULL,           -- 0: a knock that was accepted here
  event_id TEXT NOT NULL,
  checked INTEGER NOT NULL,            -- signatures: 0 not yet, 1 yes or not needed, 2 wrong
  json TEXT NOT NULL,                  -- canonical JSON
  recorded_at INTEGER                  -- of accepted knocks
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events (room, event_id, snapshot);
CREATE INDEX events_of_snapshot ON events (snapshot) WHERE snapshot > 0;
CREATE INDEX events_unchecked ON events (event) WHERE checked = 0;
CREATE INDEX events_accepted ON events (snapshot) WHERE snapshot = 0;

CREATE TABLE state (                   -- of some types each branch has a value: further ones begin at -1, -2 and so on
  snapshot INTEGER NOT NULL,
  type TEXT NOT NULL,
  state_key TEXT NOT NULL,
  from_revision INTEGER NOT NULL,      -- 0: since the snapshot is in use
  to_revision INTEGER,
  ended_at INTEGER,
  event INTEGER NOT NULL,
  membership TEXT,                     -- of m.room.member events
  PRIMARY KEY (snapshot, type, state_key, from_revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX state_ended ON state (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE flaws (                   -- places whose events cannot be used, until state comes into them
  snapshot INTEGER NOT NULL,
  type TEXT NOT NULL,
  state_key TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (snapshot, type, state_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX flaws_by_type ON flaws (type) WHERE state_key = '';

CREATE TABLE joined_servers (
  snapshot INTEGER NOT NULL,
  server TEXT NOT NULL,
  members INTEGER NOT NULL,
  PRIMARY KEY (snapshot, server)
) STRICT, WITHOUT ROWID;

CREATE TABLE knocks (                  -- accepted here and still the membership of their sender
  snapshot INTEGER NOT NULL,
  event INTEGER NOT NULL,
  in_file INTEGER NOT NULL,            -- the import knew it too
  PRIMARY KEY (snapshot, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE extremities (             -- that are, and that were
  room INTEGER NOT NULL,
  event_id TEXT NOT NULL,
  snapshot INTEGER NOT NULL,
  depth INTEGER NOT NULL,
  from_revision INTEGER NOT NULL,      -- 0: since the snapshot is in use
  to_revision INTEGER,
  ended_at INTEGER,
  kept INTEGER NOT NULL,               -- a knock that an import took over
  PRIMARY KEY (room, event_id, snapshot)
) STRICT, WITHOUT ROWID;
CREATE INDEX extremities_by_depth ON extremities (snapshot, depth) WHERE to_revision IS NULL;
CREATE INDEX extremities_by_age ON extremities (snapshot, from_revision) WHERE to_revision IS NULL;
CREATE INDEX extremities_ended ON extremities (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE decisions (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  refused INTEGER NOT NULL,
  room_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  json TEXT NOT NULL,
  recorded_at INTEGER NOT NULL
) STRICT;
CREATE INDEX decisions_by_age ON decisions (recorded_at);
CREATE INDEX decisions_of_room ON decisions (room_id);
CREATE INDEX decisions_of_user ON decisions (user_id);
CREATE INDEX refusals ON decisions (seq) WHERE refused = 1;

CREATE TABLE knock_attempts (          -- to hand a knock over, whose outcome is not known
  event_id TEXT NOT NULL PRIMARY KEY,
  begun_at INTEGER NOT NULL,
  json TEXT NOT NULL,                  -- canonical JSON of the event
  decision TEXT NOT NULL               -- its record if it came into the room
) STRICT;
CREATE INDEX knock_attempts_by_age ON knock_attempts (begun_at, event_id);

CREATE TABLE outbox (                  -- accepted knocks that are not yet rows per destination
  event INTEGER PRIMARY KEY,
  snapshot INTEGER NOT NULL,
  skip_servers TEXT NOT NULL,
  last_server TEXT NOT NULL,
  queued_at INTEGER NOT NULL
) STRICT;

CREATE TABLE deliveries (
  destination TEXT NOT NULL,
  event INTEGER NOT NULL,
  queued_at INTEGER NOT NULL,
  PRIMARY KEY (destination, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE destinations (            -- that wait for something
  destination TEXT PRIMARY KEY,
  due_at INTEGER NOT NULL,
  waiting INTEGER NOT NULL,
  oldest_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, -- failures since the last 200
  reason TEXT,                         -- of the last one
  not_before INTEGER,                  -- what the destination asked for then
  txn_id TEXT,
  txn_at INTEGER,                      -- origin_server_ts of the transaction
  txn_last INTEGER,                    -- its last event
  slow INTEGER NOT NULL DEFAULT 0,     -- its last answer took long
  suspects INTEGER,                    -- so many of its first events were refused together
  refusals INTEGER NOT NULL DEFAULT 0  -- of the one event of its transaction
) STRICT, WITHOUT ROWID;
CREATE INDEX destinations_due ON destinations ((attempts > 0 OR slow > 0), due_at);

CREATE TABLE slow_servers (            -- whose last answer to a delivery took long
  server TEXT PRIMARY KEY,
  noted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX slow_servers_by_age ON slow_servers (noted_at);

CREATE TABLE server_keys (
  server TEXT PRIMARY KEY,
  fetched_at INTEGER NOT NULL,
  json TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX server_keys_by_age ON server_keys (fetched_at);
`

/** What is counted. Both conditions are SQL over `row`. */
export const HELD = [
  { name: 'rooms', table: 'rooms', condition: 'true', bytes: 'octet_length(row.room_id)' },
  { name: 'events', table: 'events', condition: 'true', bytes: 'octet_length(row.json)' },
  ...[
    { name: 'refusals', condition: 'row.refused = 1' },
    { name: 'acceptances', condition: 'row.refused = 0' },
  ].map((outcome) => ({
    ...outcome,
    table: 'decisions',
    bytes: 'octet_length(row.json) + octet_length(row.room_id) + octet_length(row.user_id)',
  })),
  {
    name: 'attempts',
    table: 'knock_attempts',
    condition: 'true',
    bytes: 'octet_length(row.json) + octet_length(row.decision)',
  },
  { name: 'keys', table: 'server_keys', condition: 'true', bytes: 'octet_length(row.json)' },
] as const

/** Rows and bytes of one kind, counted: a row of `holdings`. */
export function countOf({ name, table, condition, bytes }: (typeof HELD)[number]): string {
  return `SELECT '${name}' AS name, count(*) AS row_count, coalesce(sum(${bytes}), 0) AS bytes
    FROM ${table} AS row WHERE ${condition}`
}

/** Counts rows as they come and go. */
function counting({ name, table, condition, bytes }: (typeof HELD)[number]): string {
  const trigger = (event: 'INSERT' | 'DELETE', row: 'new' | 'old', sign: '+' | '-') => `
CREATE TRIGGER ${name}_${event.toLowerCase()} AFTER ${event} ON ${table} WHEN ${condition.replaceAll('row.', `${row}.`)} BEGIN
  UPDATE holdings SET row_count = row_count ${sign} 1, bytes = bytes ${sign} (${bytes.replaceAll('row.', `${row}.`)})
  WHERE name = '${name}';
END;`
  return trigger('INSERT', 'new', '+') + trigger('DELETE', 'old', '-')
}

/** What the store holds, so that it can be said and bounded without counting. */
const HOLDINGS = `
CREATE TABLE holdings (
  name TEXT NOT NULL PRIMARY KEY,
  row_count INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO holdings ${HELD.map(countOf).join(' UNION ALL ')};
${HELD.map(counting).join('\n')}
${[
  ['events', 'events'],
  ['keys', 'server_keys'],
]
  .map(
    ([name, table]) => `
CREATE TRIGGER ${name}_update AFTER UPDATE OF json ON ${table} BEGIN
  UPDATE holdings SET bytes = bytes + octet_length(new.json) - octet_length(old.json) WHERE name = '${name}';
END;`,
  )
  .join('')}
`

/** The version of the tables that the first migration makes. Programs before 0.1.0, of which none was released, had others. */
export const FIRST_VERSION = 7

/** Migration n (from 0 on) takes a database to version `FIRST_VERSION + n`. */
export const MIGRATIONS: readonly string[] = [`${TABLES}${HOLDINGS}`]
