/**
 * The tables of the PostgreSQL store, as numbered migrations: what is released is never edited, only added to.
 * What they hold is described in docs/architecture.md, "What is kept of a room". Every string from outside is bytea: it
 * may hold U+0000, which no text of PostgreSQL can, and bytes have one order whatever the database's locale.
 */

/** A room's state is a snapshot (one import) and the changes on top of it. */
const TABLES = `
CREATE TABLE rooms (
  room bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  room_id bytea NOT NULL UNIQUE,
  version text NOT NULL,
  create_event bytea,
  revision bigint NOT NULL,
  facts_revision bigint NOT NULL,
  resident boolean NOT NULL,
  snapshot bigint                      -- in use; NULL while the first import is still staging
) WITH (fillfactor = 70);

CREATE TABLE snapshots (
  snapshot bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  room bigint NOT NULL,
  phase text NOT NULL CHECK (phase IN ('staging', 'current', 'former', 'dropping')),
  changed_at bigint NOT NULL,          -- staging: last sign of life; former: when it went out of use
  from_revision bigint,                -- the revision at which it came into use
  version text NOT NULL,
  own_server bytea NOT NULL,
  discard_knocks boolean NOT NULL,
  base bigint,                         -- the snapshot whose knocks were taken over so far
  last_knock bigint NOT NULL DEFAULT 0, -- the last of them
  kept_knocks bigint,                  -- once it came into use
  dropped_knocks bigint,
  members bigint NOT NULL DEFAULT 0,
  servers bigint NOT NULL DEFAULT 0,
  flaw text                            -- why it must not come into use
);
CREATE INDEX snapshots_by_phase ON snapshots (phase, changed_at);
CREATE INDEX snapshots_of_room ON snapshots (room);

CREATE TABLE events (
  event bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never used twice: readers cache by it
  room bigint NOT NULL,
  snapshot bigint NOT NULL,            -- 0: a knock that was accepted here
  event_id bytea NOT NULL,
  checked smallint NOT NULL,           -- signatures: 0 not yet, 1 yes or not needed, 2 wrong
  json bytea NOT NULL,                 -- canonical JSON
  attempt uuid,                        -- of an accepted knock: the call that recorded it
  revision bigint,                     -- and the revision that it made
  recorded_at bigint                   -- of accepted knocks
);
CREATE UNIQUE INDEX events_by_id ON events (room, event_id, snapshot);
CREATE INDEX events_of_snapshot ON events (snapshot) WHERE snapshot > 0;
CREATE INDEX events_unchecked ON events (event) WHERE checked = 0;
CREATE INDEX events_accepted ON events (event) WHERE snapshot = 0;

CREATE TABLE state (                   -- of some types each branch has a value: further ones begin at -1, -2 and so on
  snapshot bigint NOT NULL,
  type bytea NOT NULL,
  state_key bytea NOT NULL,
  from_revision bigint NOT NULL,       -- 0: since the snapshot is in use
  to_revision bigint,
  ended_at bigint,
  event bigint NOT NULL,
  membership bytea,                    -- of m.room.member events
  PRIMARY KEY (snapshot, type, state_key, from_revision)
);
CREATE INDEX state_ended ON state (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE flaws (                   -- places whose events cannot be used, until state comes into them
  snapshot bigint NOT NULL,
  type bytea NOT NULL,
  state_key bytea NOT NULL,
  reason bytea NOT NULL,
  PRIMARY KEY (snapshot, type, state_key)
);
CREATE INDEX flaws_by_type ON flaws (type) WHERE state_key = '';

CREATE TABLE joined_servers (
  snapshot bigint NOT NULL,
  server bytea NOT NULL,
  members bigint NOT NULL,
  PRIMARY KEY (snapshot, server)
);

CREATE TABLE knocks (                  -- accepted here and still the membership of their sender
  snapshot bigint NOT NULL,
  event bigint NOT NULL,
  in_file boolean NOT NULL,            -- the import knew it too
  PRIMARY KEY (snapshot, event)
);

CREATE TABLE extremities (             -- that are, and that were
  room bigint NOT NULL,
  event_id bytea NOT NULL,
  snapshot bigint NOT NULL,
  depth bigint NOT NULL,
  from_revision bigint NOT NULL,       -- 0: since the snapshot is in use
  to_revision bigint,
  ended_at bigint,
  kept boolean NOT NULL,               -- a knock that an import took over
  PRIMARY KEY (room, event_id, snapshot)
);
CREATE INDEX extremities_by_depth ON extremities (snapshot, depth, event_id) WHERE to_revision IS NULL;
CREATE INDEX extremities_by_age ON extremities (snapshot, from_revision, event_id) WHERE to_revision IS NULL;
CREATE INDEX extremities_ended ON extremities (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE decisions (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  refused boolean NOT NULL,
  room_id bytea NOT NULL,
  user_id bytea NOT NULL,
  json bytea NOT NULL,
  recorded_at bigint NOT NULL
);
CREATE INDEX decisions_by_age ON decisions (recorded_at);
CREATE INDEX decisions_of_room ON decisions (room_id, seq);
CREATE INDEX decisions_of_user ON decisions (user_id, seq);
CREATE INDEX refusals ON decisions (seq) WHERE refused;

CREATE TABLE knock_attempts (          -- to hand a knock over, whose outcome is not known
  event_id bytea NOT NULL PRIMARY KEY,
  begun_at bigint NOT NULL,
  json bytea NOT NULL,                 -- canonical JSON of the event
  decision bytea NOT NULL              -- its record if it came into the room
);
CREATE INDEX knock_attempts_by_age ON knock_attempts (begun_at, event_id);

CREATE TABLE outbox (                  -- accepted knocks that are not yet rows per destination
  event bigint PRIMARY KEY,
  snapshot bigint NOT NULL,
  skip_servers bytea NOT NULL,
  last_server bytea NOT NULL,
  queued_at bigint NOT NULL
);

CREATE TABLE deliveries (
  destination bytea NOT NULL,
  event bigint NOT NULL,
  queued_at bigint NOT NULL,
  PRIMARY KEY (destination, event)
);

CREATE TABLE destinations (            -- that wait for something
  destination bytea PRIMARY KEY,
  due_at bigint NOT NULL,
  waiting bigint NOT NULL,
  oldest_at bigint NOT NULL,
  attempts integer NOT NULL DEFAULT 0, -- failures since the last 200
  reason bytea,                        -- of the last one
  not_before bigint,                   -- what the destination asked for then
  txn_id text,
  txn_at bigint,                       -- origin_server_ts of the transaction
  txn_events bigint[],                 -- its events: events of several rooms become visible in any order
  slow boolean NOT NULL DEFAULT false, -- its last answer took long
  suspects bigint,                     -- so many of its first events were refused together
  refusals integer NOT NULL DEFAULT 0  -- of the one event of its transaction
);
CREATE INDEX destinations_due ON destinations ((attempts > 0 OR slow), due_at);

CREATE TABLE slow_servers (            -- whose last answer to a delivery took long
  server bytea PRIMARY KEY,
  noted_at bigint NOT NULL
);
CREATE INDEX slow_servers_by_age ON slow_servers (noted_at);

CREATE TABLE claims (                  -- who delivers to whom
  destination bytea PRIMARY KEY,
  worker uuid NOT NULL,                -- a process
  attempt uuid NOT NULL,               -- its call that made the claim
  seen_at timestamptz NOT NULL,        -- its last sign of life, by the database's clock; without one it holds nothing
  txn_id text
) WITH (fillfactor = 50);
CREATE INDEX claims_of_worker ON claims (worker);

CREATE TABLE server_keys (
  server bytea PRIMARY KEY,
  fetched_at bigint NOT NULL,
  json bytea NOT NULL
);
CREATE INDEX server_keys_by_age ON server_keys (fetched_at);
`

/** The version of the tables that the first migration makes. Programs before 0.1.0, of which none was released, had others. */
export const FIRST_VERSION = 7

/** Migration n (from 0 on) takes a database to version `FIRST_VERSION + n`. Functions are no part of it: functions.ts. */
export const MIGRATIONS: readonly string[] = [TABLES]
