/**
 * The instant at which a staged import comes into use: one short transaction, whatever the size of the room.
 * docs/architecture.md, "What is kept of a room".
 */
import type { ImportOutcome } from '../../knock/ports/store.ts'
import type { CommonJobs } from '../jobs.ts'
import type { Database, Run, Statement } from './database.ts'
import type { Handlers } from './job-runner.ts'
import { takeOverKnocks } from './kept-knocks.ts'

interface Room {
  readonly room: number
  readonly version: string
  readonly createEvent: Buffer | null
  readonly revision: number
  readonly inUse: number | null
}

interface Staged {
  readonly snapshot: number
  readonly phase: string
  readonly version: string
  readonly ownServer: Buffer
  readonly discardKnocks: boolean
  readonly base: number | null
  readonly flaw: string | null
  readonly createEvent: Buffer | null
  readonly createFlawed: boolean
  readonly fromRevision: number | null
  readonly keptKnocks: number | null
  readonly droppedKnocks: number | null
}

/** From here on nobody records a knock in the room until the swap is done. */
const LOCK_ROOM: Statement = {
  name: 'swap-room',
  text: `
    SELECT r.room, r.version, r.create_event AS "createEvent", r.revision, r.snapshot AS "inUse" FROM rooms r
    WHERE r.room = (SELECT n.room FROM snapshots n WHERE n.snapshot = $1) FOR UPDATE`,
}
const LOCK_STAGED: Statement = {
  name: 'swap-staged',
  text: `
    SELECT n.snapshot, n.phase, n.version, n.own_server AS "ownServer", n.discard_knocks AS "discardKnocks", n.base, n.flaw,
      n.from_revision AS "fromRevision", n.kept_knocks AS "keptKnocks", n.dropped_knocks AS "droppedKnocks",
      (SELECT e.event_id FROM state s JOIN events e ON e.event = s.event WHERE s.snapshot = n.snapshot
        AND s.type = 'm.room.create'::bytea AND s.state_key = '' AND s.from_revision = 0) AS "createEvent",
      EXISTS (SELECT 1 FROM flaws f WHERE f.snapshot = n.snapshot AND f.type = 'm.room.create'::bytea AND f.state_key = '')
        AS "createFlawed"
    FROM snapshots n WHERE n.snapshot = $1 FOR UPDATE`,
}
const DROP: Statement = {
  name: 'swap-drop',
  text: `UPDATE snapshots SET phase = 'dropping' WHERE snapshot = $1 AND phase = 'staging'`,
}
const COUNT: Statement = {
  name: 'swap-count',
  text: `
    SELECT count(*) FILTER (WHERE snapshot = $1) AS before, count(*) FILTER (WHERE snapshot = $2) AS after,
      count(*) FILTER (WHERE snapshot = $2 AND NOT in_file) AS kept
    FROM knocks WHERE snapshot IN ($1, $2)`,
}
const RETIRE: Statement = {
  name: 'swap-retire',
  text: `UPDATE snapshots SET phase = 'former', changed_at = $1 WHERE snapshot = $2`,
}
const USE: Statement = {
  name: 'swap-use',
  text: `
    UPDATE snapshots SET phase = 'current', changed_at = $2, from_revision = $3, kept_knocks = $4, dropped_knocks = $5
    WHERE snapshot = $1`,
}
const UPDATE_ROOM: Statement = {
  name: 'swap-update-room',
  text: `
    UPDATE rooms SET snapshot = $1, version = $2, create_event = coalesce($3, create_event), revision = $4, facts_revision = $4,
      resident = EXISTS (SELECT 1 FROM joined_servers WHERE snapshot = $1 AND server = $5)
    WHERE room = $6`,
}

export function createImportSwap(database: Database): Pick<Handlers<CommonJobs>, 'swap'> {
  return { swap: ({ now, snapshot }) => database.transaction((run) => swap(run, now, snapshot)) }
}

async function swap(run: Run, now: number, snapshot: number): Promise<ImportOutcome | undefined> {
  const [room] = await run<Room>(LOCK_ROOM, [snapshot])
  const [staged] = await run<Staged>(LOCK_STAGED, [snapshot])
  if (room === undefined || staged === undefined) return { kind: 'refused', reason: 'the import was given up' }
  const done = earlierOutcome(staged)
  if (done !== undefined) return done
  const flaw = flawOf(staged, room)
  if (flaw !== undefined) {
    await run(DROP, [snapshot])
    return { kind: 'refused', reason: flaw }
  }
  if (room.inUse !== null && !staged.discardKnocks) {
    if (await takeOverKnocks(run, { room: room.room, snapshot, inUse: room.inUse })) return undefined
  }
  return bringIntoUse(run, now, staged, room)
}

/** The answer to a swap that was done, where the first one was lost with the connection. */
function earlierOutcome({ fromRevision, keptKnocks, droppedKnocks }: Staged): ImportOutcome | undefined {
  if (fromRevision === null) return undefined
  return {
    kind: 'imported',
    revision: fromRevision,
    keptKnocks: keptKnocks ?? 0,
    droppedKnocks: droppedKnocks ?? 0,
  }
}

function flawOf(staged: Staged, room: Room): string | undefined {
  if (staged.phase !== 'staging') return 'the import was given up: nothing was heard of it for too long'
  if (staged.flaw !== null) return staged.flaw
  if (staged.createEvent === null && !staged.createFlawed) return 'the state has no m.room.create event'
  if (room.inUse === null) return undefined
  if (room.createEvent !== null && staged.createEvent !== null && !room.createEvent.equals(staged.createEvent)) {
    return 'the create event is not that of the room with this id'
  }
  if (room.version !== staged.version) return `the room's version is ${room.version}, the file says ${staged.version}`
  if (!staged.discardKnocks && staged.base !== room.inUse) {
    return 'another import of this room came into use meanwhile: import again'
  }
  return undefined
}

async function bringIntoUse(run: Run, now: number, staged: Staged, room: Room): Promise<ImportOutcome> {
  const { snapshot } = staged
  const revision = room.revision + 1
  const [count] = await run<{ before: number; after: number; kept: number }>(COUNT, [room.inUse, snapshot])
  const { before, after, kept } = count ?? { before: 0, after: 0, kept: 0 }
  if (room.inUse !== null) await run(RETIRE, [now, room.inUse])
  await run(USE, [snapshot, now, revision, kept, before - after])
  const { version, createEvent, ownServer } = staged
  await run(UPDATE_ROOM, [snapshot, version, createEvent, revision, ownServer, room.room])
  return { kind: 'imported', revision, keptKnocks: kept, droppedKnocks: before - after }
}
