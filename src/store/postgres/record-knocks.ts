/**
 * The function in the database that records knocks, so that a commit is one round trip and the room's row is locked no
 * longer than that. docs/architecture.md, "A commit".
 *
 * Arguments are arrays with one entry per knock on one room; `prev_ids` holds the ids of all of them one after the
 * other, `prev_counts` how many are whose. Answers one row per knock, in their order. A knock that was recorded before
 * by the same `attempt` is told as committed: the answer to that call was lost on its way. One that came into the room
 * another way is a duplicate too. Without a facts revision the homeserver has the knock in the room already: it is
 * recorded, once, whatever is known of the room, and its row in `knock_attempts` goes; `depths` are then those of the
 * events themselves. Without `skips` nobody gets a copy from us.
 */
export const RECORD_KNOCKS = `
CREATE FUNCTION record_knocks(
  the_room_id bytea, at_time bigint, attempts uuid[], event_ids bytea[], senders bytea[], jsons bytea[],
  facts_revisions bigint[], memberships bytea[], prev_counts integer[], prev_ids bytea[], decision_jsons bytea[],
  skips bytea[], depths bigint[]
) RETURNS TABLE (kind text, made_revision bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  head rooms%ROWTYPE;
  recorded record;
  member record;
  prevs bytea[];
  prevs_start integer := 1;
  known integer;
  deepest bigint;
  new_event bigint;
  before_all bigint;
BEGIN
  SELECT r.* INTO head FROM rooms r WHERE r.room_id = the_room_id AND r.snapshot IS NOT NULL FOR UPDATE;
  before_all := head.revision;
  FOR at IN 1 .. cardinality(event_ids) LOOP
    prevs := prev_ids[prevs_start : prevs_start + prev_counts[at] - 1];
    prevs_start := prevs_start + prev_counts[at];
    made_revision := NULL;
    IF facts_revisions[at] IS NULL AND head.room IS NOT NULL THEN
      DELETE FROM knock_attempts a WHERE a.event_id = event_ids[at];
    END IF;

    SELECT e.attempt, e.revision INTO recorded FROM events e
      WHERE e.room = head.room AND e.event_id = event_ids[at] AND e.snapshot = 0;
    IF FOUND THEN
      kind := 'duplicate';
      IF recorded.attempt = attempts[at] THEN
        kind := 'committed';
        made_revision := recorded.revision;
      END IF;
      RETURN NEXT;
      CONTINUE;
    END IF;
    IF facts_revisions[at] IS NOT NULL AND EXISTS (SELECT 1 FROM events e
      WHERE e.room = head.room AND e.event_id = event_ids[at] AND e.snapshot = head.snapshot AND e.checked < 2) THEN
      kind := 'duplicate';
      RETURN NEXT;
      CONTINUE;
    END IF;

    kind := 'conflict';
    SELECT s.event, s.from_revision, s.membership INTO member FROM state s
      WHERE s.snapshot = head.snapshot AND s.type = 'm.room.member'::bytea AND s.state_key = senders[at]
      ORDER BY s.from_revision DESC LIMIT 1;
    IF head.room IS NULL OR (facts_revisions[at] IS NOT NULL AND (NOT head.resident
      OR head.facts_revision <> facts_revisions[at] OR member.membership IS DISTINCT FROM memberships[at])) THEN
      RETURN NEXT;
      CONTINUE;
    END IF;

    SELECT count(d.depth), coalesce(max(d.depth), 0) INTO known, deepest
      FROM unnest(prevs) p(event_id) CROSS JOIN LATERAL (
        SELECT x.depth FROM extremities x JOIN snapshots n ON n.snapshot = x.snapshot
        WHERE x.room = head.room AND x.event_id = p.event_id AND n.phase IN ('current', 'former')
        ORDER BY n.from_revision DESC LIMIT 1) d;
    IF known < cardinality(prevs) AND facts_revisions[at] IS NOT NULL THEN
      RETURN NEXT;
      CONTINUE;
    ELSIF known < cardinality(prevs) THEN
      deepest := depths[at] - 1;
    END IF;

    kind := 'committed';
    made_revision := head.revision + 1;
    head.revision := made_revision;
    INSERT INTO events (room, snapshot, event_id, checked, json, attempt, revision, recorded_at)
      VALUES (head.room, 0, event_ids[at], 1, jsons[at], attempts[at], made_revision, at_time) RETURNING event INTO new_event;
    IF member.event IS NOT NULL THEN
      UPDATE state s SET to_revision = made_revision, ended_at = at_time
        WHERE s.snapshot = head.snapshot AND s.type = 'm.room.member'::bytea AND s.state_key = senders[at]
          AND s.from_revision = member.from_revision;
      DELETE FROM knocks k WHERE k.snapshot = head.snapshot AND k.event = member.event;
      IF member.membership = 'join'::bytea THEN
        UPDATE joined_servers j SET members = j.members - 1 WHERE j.snapshot = head.snapshot
          AND j.server = substring(senders[at] FROM position(':'::bytea IN senders[at]) + 1);
        DELETE FROM joined_servers j WHERE j.snapshot = head.snapshot AND j.members <= 0
          AND j.server = substring(senders[at] FROM position(':'::bytea IN senders[at]) + 1);
        UPDATE snapshots n SET members = n.members - 1, servers = n.servers - CASE WHEN FOUND THEN 1 ELSE 0 END
          WHERE n.snapshot = head.snapshot;
      END IF;
    END IF;
    INSERT INTO state (snapshot, type, state_key, from_revision, event, membership)
      VALUES (head.snapshot, 'm.room.member'::bytea, senders[at], made_revision, new_event, 'knock'::bytea);
    INSERT INTO knocks (snapshot, event, in_file) VALUES (head.snapshot, new_event, false);
    UPDATE extremities x SET to_revision = made_revision, ended_at = at_time
      WHERE x.room = head.room AND x.event_id = ANY (prevs) AND x.snapshot = head.snapshot AND x.to_revision IS NULL;
    INSERT INTO extremities (room, event_id, snapshot, depth, from_revision, kept)
      VALUES (head.room, event_ids[at], head.snapshot, least(deepest + 1, 9007199254740991), made_revision, false)
      ON CONFLICT (room, event_id, snapshot) DO NOTHING;
    INSERT INTO decisions (refused, recorded_at, room_id, user_id, json)
      VALUES (false, at_time, the_room_id, senders[at], decision_jsons[at]);
    IF skips[at] IS NOT NULL THEN
      INSERT INTO outbox (event, snapshot, skip_servers, last_server, queued_at)
        VALUES (new_event, head.snapshot, skips[at], '', at_time);
    END IF;
    RETURN NEXT;
  END LOOP;
  IF head.revision > before_all THEN
    UPDATE rooms r SET revision = head.revision WHERE r.room = head.room;
  END IF;
END $$;
`
