/**
 * The functions in the database that hand out deliveries and take back the answers, one round trip each.
 * https://spec.matrix.org/latest/server-server-api/#transactions
 */
import { MAX_PDUS, MAX_PDUS_BYTES, SLOW_MS } from '../outgoing-transaction.ts'

/** A worker without a sign of life for so long holds nothing any more, in seconds. */
export const WORKER_EXPIRES_S = 10
/** How often it gives one, in seconds: several may fail. */
export const WORKER_SIGN_S = 2

/** Whether the worker of a row of `claims` lives. A sign is in the row itself: who meets the row meets the newest sign. */
export const LIVES = `c.seen_at > clock_timestamp() - interval '${WORKER_EXPIRES_S} seconds'`

/** Whether the last delivery to a destination failed or took long, as the index has it. */
export const LAGS = '(d.attempts > 0 OR d.slow)'

/**
 * Two callers may find the same destination: the second sees neither the row's lock nor the claim where both went
 * between its look and its lock. The insert tells them apart, because it meets the newest claim whatever was seen before.
 * What the same `attempt` took before is answered again: the answer to that call was lost on its way.
 */
const CLAIM = `
CREATE FUNCTION claim_destinations(
  the_worker uuid, the_attempt uuid, at_time bigint, most bigint, most_lagging bigint
) RETURNS TABLE (destination bytea, txn_id text, txn_at bigint, attempts integer, slow boolean, refusals integer,
  events bigint[], oldest_at bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  taken bytea[];
  part bytea[];
  wanted bigint;
BEGIN
  SELECT coalesce(array_agg(c.destination), '{}') INTO taken FROM claims c
    WHERE c.worker = the_worker AND c.attempt = the_attempt;
  FOR lagging IN 0 .. 1 LOOP
    wanted := greatest(0, most - cardinality(taken));
    IF lagging = 1 THEN
      wanted := least(wanted, most_lagging);
    END IF;
    WITH due AS MATERIALIZED (
      SELECT d.destination FROM destinations d
      WHERE ${LAGS} = (lagging = 1) AND d.due_at <= at_time
        AND NOT EXISTS (SELECT 1 FROM claims c WHERE c.destination = d.destination AND ${LIVES})
      ORDER BY d.due_at LIMIT wanted FOR UPDATE OF d SKIP LOCKED),
    claimed AS (
      INSERT INTO claims AS c (destination, worker, attempt, seen_at)
      SELECT due.destination, the_worker, the_attempt, clock_timestamp() FROM due
      ON CONFLICT (destination) DO UPDATE SET worker = excluded.worker, attempt = excluded.attempt,
        seen_at = excluded.seen_at, txn_id = NULL
      WHERE NOT (${LIVES})
      RETURNING c.destination)
    SELECT array_agg(claimed.destination) INTO part FROM claimed;
    taken := taken || coalesce(part, '{}');
  END LOOP;
  IF cardinality(taken) = 0 THEN
    RETURN;
  END IF;

  UPDATE destinations d SET txn_id = 'mk' || replace(gen_random_uuid()::text, '-', ''), txn_at = at_time,
    txn_events = next_events(d.destination,
      CASE WHEN d.suspects IS NULL THEN ${MAX_PDUS} ELSE greatest(1, d.suspects / 2) END)
    WHERE d.destination = ANY (taken) AND d.txn_id IS NULL;
  UPDATE claims c SET txn_id = d.txn_id FROM destinations d
    WHERE c.destination = ANY (taken) AND d.destination = c.destination;
  RETURN QUERY
    SELECT d.destination, d.txn_id, d.txn_at, d.attempts, d.slow, d.refusals, v.events, v.oldest_at
    FROM destinations d CROSS JOIN LATERAL (
      SELECT array_agg(x.event ORDER BY x.event) AS events, (array_agg(x.queued_at ORDER BY x.event))[1] AS oldest_at
      FROM deliveries x WHERE x.destination = d.destination AND x.event = ANY (d.txn_events)) v
    WHERE d.destination = ANY (taken) ORDER BY ${LAGS}, d.due_at;
END $$;
`

/** The events at the head of a line, as many as a transaction holds and at least one. */
const NEXT_EVENTS = `
CREATE FUNCTION next_events(the_destination bytea, most bigint) RETURNS bigint[] LANGUAGE sql STABLE AS $$
  SELECT array_agg(s.event ORDER BY s.event) FROM (
    SELECT v.event, row_number() OVER line AS at, sum(coalesce(octet_length(e.json), 0) + 1) OVER line AS total
    FROM (SELECT event FROM deliveries WHERE destination = the_destination ORDER BY event LIMIT ${MAX_PDUS}) v
      LEFT JOIN events e ON e.event = v.event
    WINDOW line AS (ORDER BY v.event)) s
  WHERE s.at = 1 OR (s.at <= most AND s.total <= ${MAX_PDUS_BYTES})
$$;
`

/** Counts rows out of a destination, and removes it with the last. Answers whether some are left. */
const FORGET = `
CREATE FUNCTION forget_deliveries(the_destination bytea, how_many bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  next_queued bigint;
BEGIN
  SELECT v.queued_at INTO next_queued FROM deliveries v WHERE v.destination = the_destination ORDER BY v.event LIMIT 1;
  IF next_queued IS NULL THEN
    DELETE FROM destinations d WHERE d.destination = the_destination;
  ELSE
    UPDATE destinations d SET waiting = d.waiting - how_many, oldest_at = next_queued
      WHERE d.destination = the_destination;
  END IF;
  RETURN next_queued IS NOT NULL;
END $$;
`

/** Who answers slowly is known also while nothing waits for it. */
const NOTE_PACE = `
CREATE FUNCTION note_pace(the_server bytea, is_slow boolean, at_time bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF is_slow THEN
    INSERT INTO slow_servers (server, noted_at) VALUES (the_server, at_time)
      ON CONFLICT (server) DO UPDATE SET noted_at = excluded.noted_at;
    DELETE FROM slow_servers w WHERE w.server IN (
      SELECT o.server FROM slow_servers o WHERE o.noted_at < at_time - ${SLOW_MS}
      ORDER BY o.noted_at LIMIT 10 FOR UPDATE SKIP LOCKED);
  ELSE
    DELETE FROM slow_servers w WHERE w.server = the_server;
  END IF;
END $$;
`

/** A transaction arrived, whoever holds the claim by now. */
const FINISH = `
CREATE FUNCTION finish_delivery(
  the_destination bytea, the_txn text, the_worker uuid, at_time bigint, is_slow boolean DEFAULT false
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  sent bigint[];
  removed bigint;
BEGIN
  SELECT d.txn_events INTO sent FROM destinations d
    WHERE d.destination = the_destination AND d.txn_id = the_txn FOR UPDATE;
  IF FOUND THEN
    DELETE FROM deliveries v WHERE v.destination = the_destination AND v.event = ANY (sent);
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM note_pace(the_destination, is_slow, at_time);
    IF forget_deliveries(the_destination, removed) THEN
      UPDATE destinations d SET attempts = 0, not_before = NULL, reason = NULL, due_at = at_time,
        slow = is_slow, suspects = CASE WHEN d.suspects > removed THEN d.suspects - removed END,
        txn_id = NULL, txn_at = NULL, txn_events = NULL, refusals = 0
        WHERE d.destination = the_destination;
    END IF;
  END IF;
  DELETE FROM claims c WHERE c.destination = the_destination AND c.txn_id = the_txn AND c.worker = the_worker;
END $$;
`

/** A transaction was refused, whoever holds the claim by now: half of it goes out next. */
const HALVE = `
CREATE FUNCTION halve_delivery(
  the_destination bytea, the_txn text, the_worker uuid, at_time bigint, is_slow boolean, the_reason bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE destinations d SET suspects = (
      SELECT count(*) FROM deliveries v WHERE v.destination = d.destination AND v.event = ANY (d.txn_events)),
    slow = is_slow, reason = the_reason, due_at = at_time, txn_id = NULL, txn_at = NULL, txn_events = NULL, refusals = 0
    WHERE d.destination = the_destination AND d.txn_id = the_txn;
  IF FOUND THEN
    PERFORM note_pace(the_destination, is_slow, at_time);
  END IF;
  DELETE FROM claims c WHERE c.destination = the_destination AND c.txn_id = the_txn AND c.worker = the_worker;
END $$;
`

/** Removes the oldest of the events that were enqueued before an instant. */
const DROP = `
CREATE FUNCTION drop_deliveries(the_destination bytea, before bigint, most bigint)
RETURNS TABLE (dropped bigint, some_left boolean) LANGUAGE plpgsql AS $$
DECLARE
  gone bigint[];
BEGIN
  PERFORM 1 FROM destinations d WHERE d.destination = the_destination FOR UPDATE;
  WITH removed AS (
    DELETE FROM deliveries v WHERE v.destination = the_destination AND v.event = ANY (ARRAY (
      SELECT o.event FROM deliveries o WHERE o.destination = the_destination AND o.queued_at < before
      ORDER BY o.event LIMIT most)) RETURNING v.event)
  SELECT coalesce(array_agg(removed.event), '{}') INTO gone FROM removed;
  dropped := cardinality(gone);
  some_left := false;
  IF dropped > 0 THEN
    UPDATE destinations d SET txn_id = NULL, txn_at = NULL, txn_events = NULL, refusals = 0
      WHERE d.destination = the_destination AND d.txn_events && gone;
    some_left := forget_deliveries(the_destination, dropped);
  END IF;
  RETURN NEXT;
END $$;
`

/** Removes one event; whether it waited. */
const DROP_EVENT = `
CREATE FUNCTION drop_delivery(the_destination bytea, the_event_id bytea) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  gone bigint[];
BEGIN
  PERFORM 1 FROM destinations d WHERE d.destination = the_destination FOR UPDATE;
  WITH removed AS (
    DELETE FROM deliveries v USING events e
      WHERE v.destination = the_destination AND e.event = v.event AND e.event_id = the_event_id RETURNING v.event)
  SELECT coalesce(array_agg(removed.event), '{}') INTO gone FROM removed;
  IF cardinality(gone) = 0 THEN
    RETURN false;
  END IF;
  UPDATE destinations d SET txn_id = NULL, txn_at = NULL, txn_events = NULL, refusals = 0
    WHERE d.destination = the_destination AND d.txn_events && gone;
  PERFORM forget_deliveries(the_destination, cardinality(gone));
  RETURN true;
END $$;
`

export const DELIVERY_FUNCTIONS = [NEXT_EVENTS, CLAIM, FORGET, NOTE_PACE, FINISH, HALVE, DROP, DROP_EVENT]
