/**
 * The tables of the embedded store, as numbered migrations: what is released is never edited, only added to.
 * What they hold is described in docs/architecture.md, "What is kept of a room".
 */

import { MAX_PDUS_BYTES } from '../outgoing-transaction.ts'

/** Version 1. A room's state is a snapshot (one import) and the changes on top of it. */
const FIRST = `
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
  json TEXT NOT NULL                   -- canonical JSON
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events (room, event_id, snapshot);
CREATE INDEX events_of_snapshot ON events (snapshot) WHERE snapshot > 0;
CREATE INDEX events_unchecked ON events (event) WHERE checked = 0;

CREATE TABLE state (
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
  json TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_of_room ON decisions (room_id);
CREATE INDEX decisions_of_user ON decisions (user_id);
CREATE INDEX refusals ON decisions (seq) WHERE refused = 1;

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
  txn_last INTEGER                     -- its last event
) STRICT, WITHOUT ROWID;
CREATE INDEX destinations_due ON destinations (attempts > 0, due_at);

CREATE TABLE server_keys (
  server TEXT PRIMARY KEY,
  fetched_at INTEGER NOT NULL,
  json TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX server_keys_by_age ON server_keys (fetched_at);
`

/**
 * Version 2: events whose signatures are wrong are found by the snapshot that had them; decisions and accepted events
 * have an age. What was there before begins to age now.
 */
const SECOND = `
CREATE INDEX events_wrong ON events (snapshot) WHERE checked = 2;

ALTER TABLE decisions ADD COLUMN recorded_at INTEGER NOT NULL DEFAULT 0;
UPDATE decisions SET recorded_at = strftime('%s', 'now') * 1000;
CREATE INDEX decisions_by_age ON decisions (recorded_at);

ALTER TABLE events ADD COLUMN recorded_at INTEGER; -- of accepted knocks
UPDATE events SET recorded_at = strftime('%s', 'now') * 1000 WHERE snapshot = 0;
CREATE INDEX events_accepted ON events (snapshot) WHERE snapshot = 0;
`

/** Version 3: attempts to hand a knock over whose outcome is not known. */
const THIRD = `
CREATE TABLE knock_attempts (
  event_id TEXT NOT NULL PRIMARY KEY,
  begun_at INTEGER NOT NULL,
  json TEXT NOT NULL,                  -- canonical JSON of the event
  decision TEXT NOT NULL               -- its record if it came into the room
) STRICT;
CREATE INDEX knock_attempts_by_age ON knock_attempts (begun_at, event_id);
`

/**
 * Version 4: what a destination refused, and who answers slowly. A transaction that was begun before and is larger than
 * any may be now is cut anew.
 */
const FOURTH = `
ALTER TABLE destinations ADD COLUMN slow INTEGER NOT NULL DEFAULT 0;     -- its last answer took long
ALTER TABLE destinations ADD COLUMN suspects INTEGER;                    -- so many of its first events were refused together
ALTER TABLE destinations ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0; -- of the one event of its transaction
DROP INDEX destinations_due;
CREATE INDEX destinations_due ON destinations ((attempts > 0 OR slow > 0), due_at);
UPDATE destinations SET txn_id = NULL, txn_at = NULL, txn_last = NULL WHERE txn_last IS NOT NULL AND ${MAX_PDUS_BYTES} < (
  SELECT sum(octet_length(e.json) + 1) FROM deliveries v JOIN events e ON e.event = v.event
  WHERE v.destination = destinations.destination AND v.event <= txn_last);

CREATE TABLE slow_servers (            -- whose last answer to a delivery took long
  server TEXT PRIMARY KEY,
  noted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX slow_servers_by_age ON slow_servers (noted_at);
`

/** What is counted since version 5. Both conditions are SQL over `row`. */
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

/** Version 5: what the store holds, so that it can be said and bounded without counting. */
const FIFTH = `
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

/**
 * Version 6: places in the state whose events cannot be used, and why. Events whose signatures are wrong were found by
 * themselves before. Of some types each branch of a room has a value: further ones begin at revision -1, -2 and so on.
 */
const SIXTH = `
CREATE TABLE flaws (                   -- since the snapshot is in use, until state comes into the place
  snapshot INTEGER NOT NULL,
  type TEXT NOT NULL,
  state_key TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (snapshot, type, state_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX flaws_by_type ON flaws (type) WHERE state_key = '';
INSERT OR IGNORE INTO flaws (snapshot, type, state_key, reason)
SELECT snapshot, json_extract(json, '$.type'), json_extract(json, '$.state_key'), 'its signature is wrong'
FROM events WHERE checked = 2 AND json_extract(json, '$.state_key') IS NOT NULL;
DROP INDEX events_wrong;
`

/** Migration n takes a database from version n - 1 to n. */
export const MIGRATIONS: readonly string[] = [FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH]
