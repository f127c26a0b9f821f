/**
 * Knocks accepted here that an import's file cannot know stay in the room: they are taken over into the new snapshot,
 * in chunks while it stages, the last of them inside the swap. docs/architecture.md, "What is kept of a room".
 */
import { type Pdu, prevEventIds } from '../../matrix/pdu.ts'
import type { CommonJobs } from '../jobs.ts'
import { createKnockJudge, type Fate, type Inquiry, type KnockToPlace, shallowestOf } from '../knock-fate.ts'
import { parsePdu } from '../stored-pdu.ts'
import { bytes, text } from './bytea.ts'
import type { Database, Run, Statement } from './database.ts'
import type { Handlers } from './job-runner.ts'
import { removeJoined } from './joined-servers.ts'

const CHUNK_KNOCKS = 100

/** The import and the snapshot in use, whose knocks it takes over. */
export interface Takeover {
  readonly room: number
  readonly snapshot: number
  readonly inUse: number
}

const START: Statement = {
  name: 'keep-start',
  text: `
    UPDATE snapshots n SET base = coalesce(n.base, r.snapshot) FROM rooms r
    WHERE n.snapshot = $1 AND r.room = n.room AND n.phase = 'staging' AND NOT n.discard_knocks
    RETURNING n.room, n.snapshot, n.base AS "inUse", n.base IS NOT DISTINCT FROM r.snapshot AS current`,
}
const NEXT: Statement = {
  name: 'keep-next',
  text: `
    SELECT k.event, e.event_id AS "eventId", e.json FROM knocks k JOIN events e ON e.event = k.event
    WHERE k.snapshot = $1 AND k.event > (SELECT n.last_knock FROM snapshots n WHERE n.snapshot = $2)
    ORDER BY k.event LIMIT ${CHUNK_KNOCKS}`,
}
const REMEMBER: Statement = { name: 'keep-remember', text: 'UPDATE snapshots SET last_knock = $2 WHERE snapshot = $1' }

/** What the file says of each knock: whether it holds the event itself, and the member event of its sender. */
const JUDGE: Statement = {
  name: 'keep-judge',
  text: `
    SELECT i.at, m.event AS "memberEvent", m.membership, e.event_id AS "memberId",
      EXISTS (SELECT 1 FROM events f WHERE f.room = $1 AND f.event_id = i.event_id AND f.snapshot = $2) AS "inFile",
      EXISTS (SELECT 1 FROM flaws w
        WHERE w.snapshot = $2 AND w.type = 'm.room.member'::bytea AND w.state_key = i.sender) AS "memberFlawed"
    FROM unnest($3::bytea[], $4::bytea[]) WITH ORDINALITY i(event_id, sender, at)
      LEFT JOIN state m ON m.snapshot = $2 AND m.type = 'm.room.member'::bytea AND m.state_key = i.sender
        AND m.from_revision = 0
      LEFT JOIN events e ON e.event = m.event
    ORDER BY i.at`,
}
const ANCESTORS: Statement = {
  name: 'keep-ancestors',
  text: `
    SELECT i.id, e.json FROM unnest($3::bytea[]) i(id) CROSS JOIN LATERAL (
      SELECT f.json FROM events f WHERE f.room = $1 AND f.event_id = i.id AND f.snapshot IN (0, $2)
      ORDER BY f.snapshot DESC LIMIT 1) e`,
}

const UNMERGE: Statement = {
  name: 'keep-unmerge',
  text: 'DELETE FROM extremities WHERE room = $1 AND snapshot = $2 AND kept AND event_id = ANY ($3::bytea[])',
}
const FORGET: Statement = {
  name: 'keep-forget',
  text: 'DELETE FROM knocks WHERE snapshot = $1 AND event = ANY ($2::bigint[])',
}
const PUT_MEMBERS: Statement = {
  name: 'keep-members',
  text: `
    INSERT INTO state (snapshot, type, state_key, from_revision, event, membership)
    SELECT $1, 'm.room.member'::bytea, i.sender, 0, i.event, 'knock'::bytea
    FROM unnest($2::bytea[], $3::bigint[]) i(sender, event)
    ON CONFLICT (snapshot, type, state_key, from_revision)
    DO UPDATE SET event = excluded.event, membership = excluded.membership, to_revision = NULL, ended_at = NULL`,
}
const COPY_EXTREMITIES: Statement = {
  name: 'keep-extremities',
  text: `
    INSERT INTO extremities (room, event_id, snapshot, depth, from_revision, kept)
    SELECT x.room, x.event_id, $2, x.depth, 0, true FROM extremities x
    WHERE x.room = $1 AND x.event_id = ANY ($3::bytea[]) AND x.snapshot = $4 AND x.to_revision IS NULL
    ON CONFLICT (room, event_id, snapshot) DO NOTHING`,
}
const INSERT_KNOCKS: Statement = {
  name: 'keep-knocks',
  text: `
    INSERT INTO knocks (snapshot, event, in_file)
    SELECT $1, i.event, i.in_file FROM unnest($2::bigint[], $3::boolean[]) i(event, in_file)`,
}

interface KnockRow {
  readonly event: number
  readonly eventId: Buffer
  readonly json: Buffer
}

interface Knock {
  readonly event: number
  readonly eventId: string
  readonly pdu: Pdu
}

interface FileRow {
  readonly memberEvent: number | null
  readonly memberId: Buffer | null
  readonly membership: Buffer | null
  readonly inFile: boolean
  readonly memberFlawed: boolean
}

type Judged = Knock & FileRow & { readonly fate: Fate }

/** Takes over some of the knocks of the room as it is now. */
export function createKnockKeeping(database: Database): Pick<Handlers<CommonJobs>, 'keepKnocks'> {
  return {
    keepKnocks: ({ snapshot }) =>
      database.transaction(async (run) => {
        const [found] = await run<Takeover & { current: boolean }>(START, [snapshot])
        return found?.current === true && found.inUse !== null && takeOverKnocks(run, found)
      }),
  }
}

/**
 * Takes over knocks, oldest first, that came after those already taken over.
 * @returns true while there may be more
 */
export async function takeOverKnocks(run: Run, takeover: Takeover): Promise<boolean> {
  const rows = await run<KnockRow>(NEXT, [takeover.inUse, takeover.snapshot])
  const last = rows.at(-1)
  if (last === undefined) return false
  const knocks = rows.map(({ event, eventId, json }) => ({ event, eventId: text(eventId), pdu: parsePdu(json) }))
  const judged = await judge(run, takeover, knocks)
  // A knock that another one has built on since it was taken over is no extremity any more.
  const builtOn = knocks.flatMap(({ pdu }) => prevEventIds(pdu)).map(bytes)
  await run(UNMERGE, [takeover.room, takeover.snapshot, builtOn])
  await keep(
    run,
    takeover,
    judged.filter(({ fate }) => fate === 'keep'),
  )
  const standing = judged.filter(({ fate }) => fate !== 'drop')
  const inFile = standing.map(({ fate }) => fate === 'in file')
  await run(INSERT_KNOCKS, [takeover.snapshot, standing.map(({ event }) => event), inFile])
  await run(REMEMBER, [takeover.snapshot, last.event])
  return rows.length === CHUNK_KNOCKS
}

/** Asks the staged rows what becomes of each knock. */
async function judge(run: Run, { room, snapshot }: Takeover, knocks: readonly Knock[]): Promise<readonly Judged[]> {
  const ids = knocks.map(({ eventId }) => bytes(eventId))
  const senders = knocks.map(({ pdu }) => bytes(pdu.sender))
  const rows = await run<FileRow>(JUDGE, [room, snapshot, ids, senders])
  const fateOf = createKnockJudge(shallowestOf(knocks.map(({ pdu }) => pdu)))
  const judged: Judged[] = []
  for (const [at, knock] of knocks.entries()) {
    const row = rows[at] as FileRow
    const { eventId, pdu } = knock
    const inquiry = fateOf({ eventId, depth: pdu.depth, inFile: row.inFile, member: importedMember(row) })
    judged.push({ ...knock, ...row, fate: await answer(run, { room, snapshot }, inquiry) })
  }
  return judged
}

function importedMember({ memberId, membership, memberFlawed }: FileRow): KnockToPlace['member'] {
  if (memberId === null) return memberFlawed ? 'unusable' : undefined
  return { eventId: text(memberId), membership: membership === null ? undefined : text(membership) }
}

/** The answer to a question, with one statement for each generation of ancestors that it asks for. */
async function answer<Answer>(
  run: Run,
  { room, snapshot }: Pick<Takeover, 'room' | 'snapshot'>,
  inquiry: Inquiry<Answer>,
): Promise<Answer> {
  for (let step = inquiry.next(); ; ) {
    if (step.done === true) return step.value
    const rows = await run<{ id: Buffer; json: Buffer }>(ANCESTORS, [room, snapshot, step.value.map(bytes)])
    step = inquiry.next(new Map(rows.map(({ id, json }) => [text(id), parsePdu(json)])))
  }
}

async function keep(run: Run, { room, snapshot, inUse }: Takeover, knocks: readonly Judged[]): Promise<void> {
  if (knocks.length === 0) return
  const joined = knocks.filter(({ membership }) => membership !== null && text(membership) === 'join')
  await removeJoined(
    run,
    snapshot,
    joined.map(({ pdu }) => pdu.sender),
  )
  await run(FORGET, [snapshot, knocks.flatMap(({ memberEvent }) => memberEvent ?? [])])
  const senders = knocks.map(({ pdu }) => bytes(pdu.sender))
  await run(PUT_MEMBERS, [snapshot, senders, knocks.map(({ event }) => event)])
  const ids = knocks.map(({ eventId }) => bytes(eventId))
  await run(COPY_EXTREMITIES, [room, snapshot, ids, inUse])
}
