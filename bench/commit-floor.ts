/** The floor of send_knock on PostgreSQL as measurements use it. */
import { once } from 'node:events'
import { canonical } from '../test/support/signing.ts'
import type { CommitFloorAnswer, CommitFloorMessage, KnockRow } from './floors/commit-floor.ts'
import { answerOf, forkTypeScript } from './forked.ts'
import type { LoadResult } from './load-protocol.ts'
import type { RoomKnock } from './rooms.ts'
import { acceptedDecision } from './staging.ts'
import type { PostgresPlace } from './store-place.ts'

export interface CommitFloor {
  /** Records all knocks. @throws Error where one was not recorded */
  record(knocks: readonly RoomKnock[]): Promise<LoadResult>
  /** The same, after asking for each of them what the service asks before it decides. */
  readAndRecord(knocks: readonly RoomKnock[]): Promise<LoadResult>
  /** Seconds of processor time that it has taken; the database's are not included. */
  cpuSeconds(): Promise<number>
  close(): Promise<void>
}

/** @param place a store in which the rooms are; no service runs on it */
export async function startCommitFloor(
  { url }: PostgresPlace,
  connections: number,
  here: string,
): Promise<CommitFloor> {
  const child = forkTypeScript('./floors/commit-floor.ts')
  const ask = async <Kind extends CommitFloorAnswer['kind']>(message: CommitFloorMessage, kind: Kind) => {
    child.send(message)
    const answer = await answerOf<CommitFloorAnswer>(child)
    if (answer.kind === kind) return answer as Extract<CommitFloorAnswer, { kind: Kind }>
    throw new Error(answer.kind === 'failed' ? answer.reason : `the floor answered ${answer.kind}`)
  }
  await ask({ kind: 'start', url, connections }, 'ready')
  const rowsOf = (knocks: readonly RoomKnock[]) => knocks.map((knock) => rowOf(knock, here))
  return {
    async record(knocks) {
      return (await ask({ kind: 'record', knocks: rowsOf(knocks) }, 'recorded')).result
    },
    async readAndRecord(knocks) {
      return (await ask({ kind: 'read and record', knocks: rowsOf(knocks) }, 'recorded')).result
    },
    async cpuSeconds() {
      return (await ask({ kind: 'cpu seconds' }, 'cpu seconds')).seconds
    },
    async close() {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}

function rowOf({ room, knocker, event }: RoomKnock, here: string): KnockRow {
  const { eventId, pdu } = event
  return {
    roomId: room.roomId,
    eventId,
    sender: knocker.userId,
    json: canonical(pdu),
    prevEvents: pdu.prev_events as readonly string[],
    authEvents: pdu.auth_events as readonly string[],
    decision: JSON.stringify(acceptedDecision(room, knocker, eventId)),
    skipServers: JSON.stringify([here, knocker.server.identity.name]),
    depth: Number(pdu.depth),
  }
}
