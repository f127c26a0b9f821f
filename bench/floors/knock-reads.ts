/**
 * What the service asks PostgreSQL before it records a knock, as statements of their own: the room with the user's
 * membership, then the state after each of `prev_events` and the auth events. The texts are those of src/store/postgres.
 */

export const ROOM = `
  SELECT r.version, r.revision, r.facts_revision AS "factsRevision", r.resident, e.event, e.event_id AS "eventId", e.json
  FROM rooms r LEFT JOIN events e ON e.event = (
    SELECT s.event FROM state s
    WHERE s.snapshot = r.snapshot AND s.type = 'm.room.member'::bytea AND s.state_key = $2
    ORDER BY s.from_revision DESC LIMIT 1)
  WHERE r.room_id = $1 AND r.snapshot IS NOT NULL`

const STATE_AT = (type: string, stateKey: string) => `
  (SELECT s.event FROM state s
    WHERE s.snapshot = b.snapshot AND s.type = ${type} AND s.state_key = ${stateKey} AND s.from_revision <= b.revision
    ORDER BY s.from_revision DESC LIMIT 1)`

export const CONTEXT = `
  SELECT r.version, r.revision, r.facts_revision AS "factsRevision", r.resident,
    (SELECT s.event FROM state s
      WHERE s.snapshot = r.snapshot AND s.type = 'm.room.member'::bytea AND s.state_key = $2
      ORDER BY s.from_revision DESC LIMIT 1) AS member,
    EXISTS (SELECT 1 FROM events e WHERE e.room = r.room AND e.event_id = $3 AND e.snapshot = 0) AS recorded,
    EXISTS (SELECT 1 FROM events e
      WHERE e.room = r.room AND e.event_id = $3 AND e.snapshot = r.snapshot AND e.checked < 2) AS held,
    (SELECT json_agg(json_build_array(p.at, b.depth,
        ${STATE_AT(`'m.room.join_rules'::bytea`, `''`)}, ${STATE_AT(`'m.room.member'::bytea`, '$2')}))
      FROM unnest($4::bytea[]) WITH ORDINALITY p(id, at) CROSS JOIN LATERAL (
        SELECT x.snapshot, x.depth, greatest(x.from_revision, n.from_revision) AS revision
        FROM extremities x JOIN snapshots n ON n.snapshot = x.snapshot
        WHERE x.room = r.room AND x.event_id = p.id AND n.phase IN ('current', 'former')
          AND (x.ended_at IS NULL OR x.ended_at > $6) AND (n.phase = 'current' OR n.changed_at > $6)
        ORDER BY n.from_revision DESC LIMIT 1) b) AS branches,
    (SELECT json_agg(json_build_array(a.at, f.event))
      FROM unnest($5::bytea[]) WITH ORDINALITY a(id, at) CROSS JOIN LATERAL (
        SELECT e.event FROM events e LEFT JOIN snapshots n ON n.snapshot = e.snapshot
        WHERE e.room = r.room AND e.event_id = a.id AND e.checked < 2
          AND (e.snapshot = 0 OR n.phase IN ('current', 'former'))
        ORDER BY n.from_revision DESC NULLS LAST LIMIT 1) f) AS "authEvents"
  FROM rooms r WHERE r.room_id = $1 AND r.snapshot IS NOT NULL`
