/**
 * The instant at which a staged import comes into use: one short transaction, whatever the size of the room.
 * docs/architecture.md, "What is kept of a room".
 */
import type { ImportOutcome } from '../../knock/ports/store.ts'
import type { Database } from './database.ts'
import { createKnockTakeover } from './kept-knocks.ts'
import type { Handlers } from './writer-jobs.ts'

interface Staged {
  readonly room: number
  readonly snapshot: number
  readonly phase: string
  readonly version: string
  readonly ownServer: string
  readonly discardKnocks: number
  readonly base: number | null
  readonly flaw: string | null
  readonly createEvent: string | null
  readonly createFlawed: number
}

interface Room {
  readonly version: string
  readonly createEvent: string | null
  readonly revision: number
  readonly snapshot: number | null
}

export function createImportSwap(db: Database): Pick<Handlers, 'swap'> {
  const readStaged = db.prepare(`
    SELECT n.room, n.snapshot, n.phase, n.version, n.own_server AS ownServer, n.discard_knocks AS discardKnocks, n.base,
      n.flaw, (SELECT e.event_id FROM state s JOIN events e ON e.event = s.event WHERE s.snapshot = n.snapshot
        AND s.type = 'm.room.create' AND s.state_key = '' AND s.from_revision = 0) AS createEvent,
      EXISTS (SELECT 1 FROM flaws f WHERE f.snapshot = n.snapshot AND f.type = 'm.room.create' AND f.state_key = '')
        AS createFlawed
    FROM snapshots n WHERE n.snapshot = ?`)
  const readRoom = db.prepare(
    'SELECT version, create_event AS createEvent, revision, snapshot FROM rooms WHERE room = ?',
  )
  const drop = db.prepare(`UPDATE snapshots SET phase = 'dropping' WHERE snapshot = ? AND phase = 'staging'`)
  const takeover = createKnockTakeover(db)
  const bringIntoUse = prepareUse(db)

  return {
    swap({ now, snapshot }) {
      const staged = readStaged.get(snapshot) as Staged | undefined
      const room = staged && (readRoom.get(staged.room) as Room)
      const flaw = staged === undefined || room === undefined ? 'the import was given up' : flawOf(staged, room)
      if (staged === undefined || room === undefined || flaw !== undefined) {
        drop.run(snapshot)
        return { kind: 'refused', reason: flaw ?? '' }
      }
      if (room.snapshot !== null && staged.discardKnocks === 0) {
        if (takeover.some({ room: staged.room, snapshot, inUse: room.snapshot })) return undefined
      }
      return bringIntoUse(now, staged, room)
    },
  }
}

function flawOf(staged: Staged, room: Room): string | undefined {
  if (staged.phase !== 'staging') return 'the import was given up: nothing was heard of it for too long'
  if (staged.flaw !== null) return staged.flaw
  if (staged.createEvent === null && staged.createFlawed === 0) return 'the state has no m.room.create event'
  if (room.snapshot === null) return undefined
  if (room.createEvent !== (staged.createEvent ?? room.createEvent) && room.createEvent !== null)
    return 'the create event is not that of the room with this id'
  if (room.version !== staged.version) return `the room's version is ${room.version}, the file says ${staged.version}`
  if (staged.discardKnocks === 0 && staged.base !== room.snapshot) {
    return 'another import of this room came into use meanwhile: import again'
  }
  return undefined
}

function prepareUse(db: Database): (now: number, staged: Staged, room: Room) => ImportOutcome {
  const retire = db.prepare(`UPDATE snapshots SET phase = 'former', changed_at = ? WHERE snapshot = ?`)
  const use = db.prepare(`
    UPDATE snapshots SET phase = 'current', changed_at = ?, from_revision = ? WHERE snapshot = ?`)
  const updateRoom = db.prepare(`
    UPDATE rooms SET snapshot = ?1, version = ?2, create_event = coalesce(?3, create_event), revision = ?4, facts_revision = ?4,
      resident = EXISTS (SELECT 1 FROM joined_servers WHERE snapshot = ?1 AND server = ?5)
    WHERE room = ?6`)
  const count = db.prepare('SELECT count(*) AS n FROM knocks WHERE snapshot = ?')
  const countKept = db.prepare('SELECT count(*) AS n FROM knocks WHERE snapshot = ? AND in_file = 0')
  const counted = (statement: typeof count, snapshot: number) => (statement.get(snapshot) as { n: number }).n

  return (now, staged, room) => {
    const { snapshot } = staged
    const revision = room.revision + 1
    const before = room.snapshot === null ? 0 : counted(count, room.snapshot)
    if (room.snapshot !== null) retire.run(now, room.snapshot)
    use.run(now, revision, snapshot)
    updateRoom.run(snapshot, staged.version, staged.createEvent, revision, staged.ownServer, staged.room)
    const keptKnocks = counted(countKept, snapshot)
    return { kind: 'imported', revision, keptKnocks, droppedKnocks: before - counted(count, snapshot) }
  }
}
