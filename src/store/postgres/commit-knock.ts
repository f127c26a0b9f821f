/**
 * Recording knocks: one statement for all that wait, and the truth about it where the connection was lost.
 * docs/architecture.md, "A commit".
 */
import { randomUUID } from 'node:crypto'
import type { Clock, CommitOutcome, KnockCommit } from '../../knock/ports.ts'
import { canonicalJson } from '../../matrix/canonical-json.ts'
import { prevEventIds } from '../../matrix/event.ts'
import { encodeDecision } from '../stored-decision.ts'
import { bytes } from './bytea.ts'
import { createCommitLanes, type RoomItems } from './commit-lanes.ts'
import type { Database, Statement, Value } from './database.ts'
import { DatabaseFailure } from './failures.ts'

const RECORD: Statement = {
  name: 'record-knocks',
  text: `
    SELECT kind, made_revision AS revision FROM record_knocks($1, $2, $3::uuid[], $4::bytea[], $5::bytea[], $6::bytea[],
      $7::bigint[], $8::bytea[], $9::integer[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bigint[])`,
}
const RECORD_TOGETHER: Statement = {
  name: 'record-knocks-together',
  text: `
    SELECT kind, made_revision AS revision FROM record_knocks_together($1::bytea[], $2::integer[], $3, $4::uuid[],
      $5::bytea[], $6::bytea[], $7::bytea[], $8::bigint[], $9::bytea[], $10::integer[], $11::bytea[], $12::bytea[],
      $13::bytea[], $14::bigint[])`,
}

/** A knock on its way, under a name of its own: that tells a repeat of this call from another call for the same event. */
interface Attempt {
  readonly id: string
  readonly prevEvents: readonly Buffer[]
  readonly commit: KnockCommit
}

interface OutcomeRow {
  readonly kind: 'committed' | 'duplicate' | 'conflict' | 'locked'
  readonly revision: number | null
}

/** Records knocks, those that come in together in one transaction. */
export function createKnockCommit(database: Database, clock: Clock): (commit: KnockCommit) => Promise<CommitOutcome> {
  async function inRoom({ roomId, items }: RoomItems<Attempt>): Promise<readonly CommitOutcome[]> {
    try {
      const rows = await database.run<OutcomeRow>(RECORD, [bytes(roomId), clock(), ...columnsOf(items)])
      return rows.map(outcomeOf)
    } catch (error) {
      if (!(error instanceof DatabaseFailure)) throw error
      // One that cannot be written never fails its neighbours; time is not tried again, it would be lost many times over.
      if (error.kind !== 'refused' || items.length === 1) return items.map(() => failed(error))
      const each = []
      for (const attempt of items) each.push(...(await inRoom({ roomId, items: [attempt] })))
      return each
    }
  }
  async function inRooms(
    rooms: readonly RoomItems<Attempt>[],
  ): Promise<readonly (readonly CommitOutcome[] | 'locked')[]> {
    const counts = rooms.map(({ items }) => items.length)
    const columns = columnsOf(rooms.flatMap(({ items }) => items))
    try {
      const values = [rooms.map(({ roomId }) => bytes(roomId)), counts, clock(), ...columns]
      const rows = [...(await database.run<OutcomeRow>(RECORD_TOGETHER, values))]
      return counts.map((count) => outcomesInRoom(rows.splice(0, count)))
    } catch (error) {
      if (!(error instanceof DatabaseFailure)) throw error
      if (error.kind !== 'refused') return rooms.map(({ items }) => items.map(() => failed(error)))
      return Promise.all(rooms.map(inRoom))
    }
  }
  const lanes = createCommitLanes({ inRooms, inRoom })
  return (commit) =>
    lanes(commit.roomId, { id: randomUUID(), prevEvents: prevEventIds(commit.event.pdu).map(bytes), commit })
}

/** The arguments of both functions after the room and the time. */
function columnsOf(attempts: readonly Attempt[]): readonly Value[] {
  const each = <Item extends Buffer | string | number | null>(item: (commit: KnockCommit) => Item) =>
    attempts.map(({ commit }) => item(commit))
  return [
    attempts.map(({ id }) => id),
    each(({ event }) => bytes(event.eventId)),
    each(({ sender }) => bytes(sender)),
    each(({ event }) => canonicalJson(event.pdu)),
    each(({ expect }) => (expect === 'in the room' ? null : expect.factsRevision)),
    each(({ expect }) =>
      expect === 'in the room' || expect.membership === undefined ? null : bytes(expect.membership),
    ),
    attempts.map(({ prevEvents }) => prevEvents.length),
    attempts.flatMap(({ prevEvents }) => prevEvents),
    each(({ decision }) => bytes(encodeDecision(decision))),
    each(({ skipServers }) => (skipServers === 'all' ? null : bytes(JSON.stringify(skipServers)))),
    each(({ event }) => event.pdu.depth),
  ]
}

function outcomesInRoom(rows: readonly OutcomeRow[]): readonly CommitOutcome[] | 'locked' {
  return rows.some(({ kind }) => kind === 'locked') ? 'locked' : rows.map(outcomeOf)
}

function outcomeOf({ kind, revision }: OutcomeRow): CommitOutcome {
  if (kind === 'locked') throw new Error('a room that was waited for is locked')
  return kind === 'committed' ? { kind, revision: revision ?? 0 } : { kind }
}

/** Where the database stays away after a commit was sent, its outcome is unknown: not a 200, and a repeat finds out. */
function failed({ kind, message }: DatabaseFailure): CommitOutcome {
  const doubt = kind === 'unreachable' ? '; a knock that was on its way may have been recorded' : ''
  return { kind: 'failed', reason: `${message}${doubt}` }
}
