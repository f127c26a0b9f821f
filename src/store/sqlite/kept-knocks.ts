/**
 * Knocks accepted here that an import's file cannot know stay in the room: they are taken over into the new snapshot,
 * in chunks while it stages, the last of them inside the swap. docs/architecture.md, "What is kept of a room".
 */
import { type Pdu, prevEventIds } from '../../matrix/pdu.ts'
import { answerNow, createKnockJudge, type Fate, shallowestOf } from '../knock-fate.ts'
import { parsePdu } from '../stored-pdu.ts'
import type { Database } from './database.ts'
import { createJoinedServers } from './joined-servers.ts'
import type { Handlers } from './writer-jobs.ts'

/** So many are judged together, which walks over the file at most once, and taken over in one transaction. */
const CHUNK_KNOCKS = 100

/** The import and the snapshot in use, whose knocks it takes over. */
export interface Takeover {
  readonly room: number
  readonly snapshot: number
  readonly inUse: number
}

interface KnockRow {
  readonly event: number
  readonly eventId: string
  readonly json: string
}

interface Knock {
  readonly event: number
  readonly eventId: string
  readonly pdu: Pdu
}

export interface KnockTakeover {
  /**
   * Takes over knocks, oldest first, that came after those already taken over.
   * @returns true while there are more
   */
  some(takeover: Takeover): boolean
}

/** Takes over some of the knocks of the room as it is now, in the writer's thread. */
export function createKnockKeeping(db: Database): Pick<Handlers, 'keepKnocks'> {
  const takeover = createKnockTakeover(db)
  const start = db.prepare(`
    UPDATE snapshots SET base = (SELECT r.snapshot FROM rooms r WHERE r.room = snapshots.room)
    WHERE snapshot = ? AND phase = 'staging' AND discard_knocks = 0 AND base IS NULL`)
  const read = db.prepare(`
    SELECT n.room, n.snapshot, n.base AS inUse FROM snapshots n JOIN rooms r ON r.room = n.room
    WHERE n.snapshot = ? AND n.phase = 'staging' AND n.discard_knocks = 0 AND n.base = r.snapshot`)
  return {
    keepKnocks({ snapshot }) {
      start.run(snapshot)
      const found = read.get(snapshot) as Takeover | undefined
      return found !== undefined && takeover.some(found)
    },
  }
}

export function createKnockTakeover(db: Database): KnockTakeover {
  const next = db.prepare(`
    SELECT k.event, e.event_id AS eventId, e.json FROM knocks k JOIN events e ON e.event = k.event
    WHERE k.snapshot = ? AND k.event > (SELECT last_knock FROM snapshots WHERE snapshot = ?)
    ORDER BY k.event LIMIT ${CHUNK_KNOCKS}`)
  const remember = db.prepare('UPDATE snapshots SET last_knock = ? WHERE snapshot = ?')
  const unmerge = db.prepare('DELETE FROM extremities WHERE room = ? AND event_id = ? AND snapshot = ? AND kept = 1')
  const insertKnock = db.prepare('INSERT INTO knocks (snapshot, event, in_file) VALUES (?, ?, ?)')
  const judgement = prepareJudgement(db)
  const keep = prepareKeeping(db)

  const takeOne = (takeover: Takeover, knock: Knock, verdict: Fate) => {
    // A knock that another one has built on since it was taken over is no extremity any more.
    for (const id of prevEventIds(knock.pdu)) unmerge.run(takeover.room, id, takeover.snapshot)
    if (verdict === 'keep') keep(takeover, knock)
    if (verdict !== 'drop') insertKnock.run(takeover.snapshot, knock.event, verdict === 'in file' ? 1 : 0)
  }

  return {
    some(takeover) {
      const rows = next.all(takeover.inUse, takeover.snapshot) as KnockRow[]
      const knocks = rows.map(({ event, eventId, json }) => ({ event, eventId, pdu: parsePdu(json) }))
      const judge = judgement(takeover, shallowestOf(knocks.map(({ pdu }) => pdu)))
      for (const knock of knocks) takeOne(takeover, knock, judge(knock))
      const last = knocks.at(-1)
      if (last !== undefined) remember.run(last.event, takeover.snapshot)
      return knocks.length === CHUNK_KNOCKS
    },
  }
}

/** Asks the staged rows what becomes of the knocks of a chunk. */
function prepareJudgement(db: Database): (takeover: Takeover, shallowest: number) => (knock: Knock) => Fate {
  const readMember = db.prepare(`
    SELECT s.membership, e.event_id AS eventId FROM state s JOIN events e ON e.event = s.event
    WHERE s.snapshot = ? AND s.type = 'm.room.member' AND s.state_key = ? AND s.from_revision = 0`)
  const isFlawed = db.prepare(`
    SELECT 1 FROM flaws WHERE snapshot = ? AND type = 'm.room.member' AND state_key = ?`)
  const inFile = db.prepare('SELECT 1 FROM events WHERE room = ? AND event_id = ? AND snapshot = ?')
  const readEvent = db.prepare(
    'SELECT json FROM events WHERE room = ?1 AND event_id = ?2 AND snapshot IN (0, ?3) ORDER BY snapshot DESC LIMIT 1',
  )
  return ({ room, snapshot }, shallowest) => {
    const judge = createKnockJudge(shallowest)
    const read = (id: string) => {
      const row = readEvent.get(room, id, snapshot) as { json: string } | undefined
      return row && parsePdu(row.json)
    }
    return ({ eventId, pdu: { sender, depth } }) => {
      const row = readMember.get(snapshot, sender) as { eventId: string; membership: string | null } | undefined
      const unusable = isFlawed.get(snapshot, sender) === undefined ? undefined : 'unusable'
      const member = row ? { eventId: row.eventId, membership: row.membership ?? undefined } : unusable
      const known = inFile.get(room, eventId, snapshot) !== undefined
      return answerNow(judge({ eventId, depth, inFile: known, member }), read)
    }
  }
}

function prepareKeeping(db: Database): (takeover: Takeover, knock: Knock) => void {
  const readMember = db.prepare(`
    SELECT event, membership FROM state
    WHERE snapshot = ? AND type = 'm.room.member' AND state_key = ? AND from_revision = 0`)
  const forgetKnock = db.prepare('DELETE FROM knocks WHERE snapshot = ? AND event = ?')
  const putMember = db.prepare(`
    INSERT OR REPLACE INTO state (snapshot, type, state_key, from_revision, event, membership)
    VALUES (?, 'm.room.member', ?, 0, ?, 'knock')`)
  const copyExtremity = db.prepare(`
    INSERT OR IGNORE INTO extremities (room, event_id, snapshot, depth, from_revision, kept)
    SELECT room, event_id, ?, depth, 0, 1 FROM extremities
    WHERE room = ? AND event_id = ? AND snapshot = ? AND to_revision IS NULL`)
  const joined = createJoinedServers(db)
  return ({ room, snapshot, inUse }, { event, eventId, pdu: { sender } }) => {
    const member = readMember.get(snapshot, sender) as { event: number; membership: string | null } | undefined
    if (member?.membership === 'join') joined.remove(snapshot, sender)
    if (member !== undefined) forgetKnock.run(snapshot, member.event)
    putMember.run(snapshot, sender, event)
    copyExtremity.run(snapshot, room, eventId, inUse)
  }
}
