/**
 * Records a knock: the event, the membership, the extremities, the decision and the order to deliver it.
 * Runs on the writer's thread inside a savepoint. docs/architecture.md, "A commit".
 */
import type { CommitOutcome } from '../../knock/ports/rooms.ts'
import { createAttemptRemoval } from './attempt-rows.ts'
import type { Database } from './database.ts'
import { createJoinedServers } from './joined-servers.ts'
import type { CommitJob } from './writer-jobs.ts'

interface HeadRow {
  readonly room: number
  readonly snapshot: number
  readonly revision: number
  readonly factsRevision: number
  readonly resident: number
  readonly recorded: number
  readonly held: number
  readonly memberEvent: number | null
  readonly memberFrom: number | null
  readonly membership: string | null
}

/** The savepoint around each job of a group; see group-commit.ts. */
const UNDO = 'ROLLBACK TO job'

/** Prepares the statements. The returned function writes everything or nothing. */
export function createKnockCommit(db: Database): (job: CommitJob) => CommitOutcome {
  const readHead = db.prepare(`
    SELECT r.room, r.snapshot, r.revision, r.facts_revision AS factsRevision, r.resident,
      EXISTS (SELECT 1 FROM events e WHERE e.room = r.room AND e.event_id = ?1 AND e.snapshot = 0) AS recorded,
      EXISTS (SELECT 1 FROM events e
        WHERE e.room = r.room AND e.event_id = ?1 AND e.snapshot = r.snapshot AND e.checked < 2) AS held,
      s.event AS memberEvent, s.from_revision AS memberFrom, s.membership
    FROM rooms r LEFT JOIN state s ON s.snapshot = r.snapshot AND s.type = 'm.room.member' AND s.state_key = ?2
    WHERE r.room_id = ?3 AND r.snapshot IS NOT NULL
    ORDER BY s.from_revision DESC LIMIT 1`)
  const insertEvent = db.prepare(
    'INSERT INTO events (room, snapshot, event_id, checked, json, recorded_at) VALUES (?, 0, ?, 1, ?, ?)',
  )
  const endMember = db.prepare(`
    UPDATE state SET to_revision = ?, ended_at = ?
    WHERE snapshot = ? AND type = 'm.room.member' AND state_key = ? AND from_revision = ?`)
  const insertMember = db.prepare(`
    INSERT INTO state (snapshot, type, state_key, from_revision, event, membership)
    VALUES (?, 'm.room.member', ?, ?, ?, 'knock')`)
  const forgetKnock = db.prepare('DELETE FROM knocks WHERE snapshot = ? AND event = ?')
  const insertKnock = db.prepare('INSERT INTO knocks (snapshot, event, in_file) VALUES (?, ?, 0)')
  const joined = createJoinedServers(db)
  const extremities = prepareExtremities(db)
  const raiseRevision = db.prepare('UPDATE rooms SET revision = ? WHERE room = ?')
  const insertDecision = db.prepare(
    'INSERT INTO decisions (refused, recorded_at, room_id, user_id, json) VALUES (0, ?, ?, ?, ?)',
  )
  const insertOutbox = db.prepare(
    `INSERT INTO outbox (event, snapshot, skip_servers, last_server, queued_at) VALUES (?, ?, ?, '', ?)`,
  )
  const removeAttempt = createAttemptRemoval(db)
  const undo = db.prepare(UNDO)

  const writeMember = (head: HeadRow, job: CommitJob, revision: number, event: number | bigint) => {
    if (head.memberFrom !== null) {
      endMember.run(revision, job.now, head.snapshot, job.sender, head.memberFrom)
      forgetKnock.run(head.snapshot, head.memberEvent)
      if (head.membership === 'join') joined.remove(head.snapshot, job.sender)
    }
    insertMember.run(head.snapshot, job.sender, revision, event)
    insertKnock.run(head.snapshot, event)
  }

  return (job) => {
    const head = readHead.get(job.eventId, job.sender, job.roomId) as HeadRow | undefined
    if (head === undefined) return { kind: 'conflict' }
    if (job.expect === 'in the room') removeAttempt(job.eventId)
    if (isRepeat(head, job)) return { kind: 'duplicate' }
    if (overtaken(head, job)) return { kind: 'conflict' }
    const revision = head.revision + 1
    const depth = extremities.replace(head, job, revision)
    if (depth === undefined) {
      undo.run()
      return { kind: 'conflict' }
    }
    const event = insertEvent.run(head.room, job.eventId, job.json, job.now).lastInsertRowid
    writeMember(head, job, revision, event)
    raiseRevision.run(revision, head.room)
    insertDecision.run(job.now, job.roomId, job.sender, job.decision)
    if (job.skipServers !== undefined) insertOutbox.run(event, head.snapshot, job.skipServers, job.now)
    return { kind: 'committed', revision }
  }
}

/** Whether the event is recorded, or came into the room another way, which the homeserver's word for it is not. */
function isRepeat({ recorded, held }: HeadRow, { expect }: CommitJob): boolean {
  return recorded === 1 || (held === 1 && expect !== 'in the room')
}

/** Whether what the decision read has changed since. */
function overtaken(head: HeadRow, { expect }: CommitJob): boolean {
  if (expect === 'in the room') return false
  const { factsRevision, membership } = expect
  return head.resident === 0 || head.factsRevision !== factsRevision || (head.membership ?? undefined) !== membership
}

function prepareExtremities(db: Database) {
  const end = db.prepare(`
    UPDATE extremities SET to_revision = ?, ended_at = ?
    WHERE room = ? AND event_id = ? AND snapshot = ? AND to_revision IS NULL RETURNING depth`)
  const readDepth = db.prepare(`
    SELECT x.depth FROM extremities x JOIN snapshots s ON s.snapshot = x.snapshot
    WHERE x.room = ? AND x.event_id = ? AND s.phase IN ('current', 'former')
    ORDER BY s.from_revision DESC LIMIT 1`)
  // A room that was read from its homeserver meanwhile may have the knock as extremity already.
  const insert = db.prepare(`
    INSERT OR REPLACE INTO extremities (room, event_id, snapshot, depth, from_revision, kept) VALUES (?, ?, ?, ?, ?, 0)`)
  return {
    /** Takes out those that the event names and puts it in; its depth, or undefined where one of them is not known. */
    replace({ room, snapshot }: HeadRow, job: CommitJob, revision: number): number | undefined {
      let deepest: number | undefined = 0
      for (const id of job.prevEvents) {
        const found = (end.get(revision, job.now, room, id, snapshot) ?? readDepth.get(room, id)) as
          | { depth: number }
          | undefined
        if (found === undefined && job.expect !== 'in the room') return undefined
        deepest = found === undefined || deepest === undefined ? undefined : Math.max(deepest, found.depth)
      }
      // Its depth is ours where we know what it follows; else the room, which has taken it, has taken its own.
      const depth = deepest === undefined ? job.depth : Math.min(deepest + 1, Number.MAX_SAFE_INTEGER)
      insert.run(room, job.eventId, snapshot, depth, revision)
      return depth
    },
  }
}
