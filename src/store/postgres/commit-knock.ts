/**
 * Recording knocks: one statement for all that wait for one room, and the truth about it where the connection was lost.
 * docs/architecture.md, "A commit".
 */
import { randomUUID } from 'node:crypto'
import type { Clock, CommitOutcome, KnockCommit } from '../../knock/ports/rooms.ts'
import { canonicalJson } from '../../matrix/canonical-json.ts'
import type { RoomId } from '../../matrix/identifiers.ts'
import { prevEventIds } from '../../matrix/pdu.ts'
import { encodeDecision } from '../stored-decision.ts'
import { bytes } from './bytea.ts'
import { createCommitLanes } from './commit-lanes.ts'
import type { Database, Statement, Value } from './database.ts'
import { DatabaseFailure } from './failures.ts'

const RECORD: Statement = {
  name: 'record-knocks',
  text: `
    SELECT kind, made_revision AS revision FROM record_knocks($1, $2, $3::uuid[], $4::bytea[], $5::bytea[], $6::bytea[],
      $7::bigint[], $8::bytea[], $9::integer[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bigint[])`,
}

/** A knock on its way, under a name of its own: that tells a repeat of this call from another call for the same event. */
interface Attempt {
  readonly id: string
  readonly prevEvents: readonly Buffer[]
  readonly commit: KnockCommit
}

interface OutcomeRow {
  readonly kind: 'committed' | 'duplicate' | 'conflict'
  readonly revision: number | null
}

/**
 * Records knocks. Those on one room share a transaction with what came in during the last one, so a room that everybody
 * knocks on takes one connection of the pool and not all of them.
 */
export function createKnockCommit(database: Database, clock: Clock): (commit: KnockCommit) => Promise<CommitOutcome> {
  const record = async (roomId: RoomId, attempts: readonly Attempt[]): Promise<readonly CommitOutcome[]> => {
    try {
      const rows = await database.run<OutcomeRow>(RECORD, argumentsOf(roomId, attempts, clock()))
      return rows.map(outcomeOf)
    } catch (error) {
      if (!(error instanceof DatabaseFailure)) throw error
      // One that cannot be written never fails its neighbours; time is not tried again, it would be lost many times over.
      if (error.kind !== 'refused' || attempts.length === 1) return attempts.map(() => failed(error))
      const each = []
      for (const attempt of attempts) each.push(...(await record(roomId, [attempt])))
      return each
    }
  }
  const lanes = createCommitLanes(record)
  return (commit) =>
    lanes(commit.roomId, { id: randomUUID(), prevEvents: prevEventIds(commit.event.pdu).map(bytes), commit })
}

function argumentsOf(roomId: RoomId, attempts: readonly Attempt[], now: number): readonly Value[] {
  const each = <Item extends Buffer | string | number | null>(item: (commit: KnockCommit) => Item) =>
    attempts.map(({ commit }) => item(commit))
  return [
    bytes(roomId),
    now,
    attempts.map(({ id }) => id),
    each(({ event }) => bytes(event.eventId)),
    each(({ sender }) => bytes(sender)),
    each(({ event: { pdu, json } }) => (json === undefined ? canonicalJson(pdu) : Buffer.from(json))),
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

function outcomeOf({ kind, revision }: OutcomeRow): CommitOutcome {
  return kind === 'committed' ? { kind, revision: revision ?? 0 } : { kind }
}

/** Where the database stays away after a commit was sent, its outcome is unknown: not a 200, and a repeat finds out. */
function failed({ kind, message }: DatabaseFailure): CommitOutcome {
  const doubt = kind === 'unreachable' ? '; a knock that was on its way may have been recorded' : ''
  return { kind: 'failed', reason: `${message}${doubt}` }
}
