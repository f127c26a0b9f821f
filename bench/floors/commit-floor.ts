/**
 * The floor of send_knock on PostgreSQL: the statement by which a knock is recorded, through the bare driver, in a loop
 * per connection. No HTTP, no signatures, no rules, nothing delivered after; the questions of the service before it only
 * where they are asked for. What comes in for a room while a statement on it is under way shares the next one, as a careful
 * server lets it.
 */
import { randomUUID } from 'node:crypto'
import { Pool } from 'pg'
import type { LoadResult } from '../load-protocol.ts'
import { latencySummary } from '../statistics.ts'
import { CONTEXT, ROOM } from './knock-reads.ts'

/** A knock as the statement takes it. */
export interface KnockRow {
  readonly roomId: string
  readonly eventId: string
  readonly sender: string
  /** Canonical. */
  readonly json: string
  readonly prevEvents: readonly string[]
  readonly authEvents: readonly string[]
  readonly decision: string
  readonly skipServers: string
  readonly depth: number
}

/** What the floor is told: once where to connect to, then knocks to record, or a question. */
export type CommitFloorMessage =
  | { readonly kind: 'start'; readonly url: string; readonly connections: number }
  | { readonly kind: 'record' | 'read and record'; readonly knocks: readonly KnockRow[] }
  | { readonly kind: 'cpu seconds' }

/** How it answers: to each message with one. */
export type CommitFloorAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'recorded'; readonly result: LoadResult }
  | { readonly kind: 'cpu seconds'; readonly seconds: number }
  | { readonly kind: 'failed'; readonly reason: string }

const RECORD = `SELECT kind, made_revision AS revision FROM record_knocks($1, $2, $3::uuid[], $4::bytea[], $5::bytea[],
  $6::bytea[], $7::bigint[], $8::bytea[], $9::integer[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bigint[])`
/** As the service's own connections have them. */
const SESSION = '-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_mergejoin=off -c jit=off'
const MOST_TOGETHER = 50
const HISTORY_MS = 7 * 86_400_000
/** Of a room that was imported once. */
const FACTS_REVISION = 1

interface Prepared {
  readonly room: string
  readonly roomId: Buffer
  readonly attempt: string
  readonly eventId: Buffer
  readonly sender: Buffer
  readonly json: Buffer
  readonly prevEvents: readonly Buffer[]
  readonly authEvents: readonly Buffer[]
  readonly decision: Buffer
  readonly skipServers: Buffer
  readonly depth: number
}

interface Waiting {
  readonly knock: Prepared
  resolve(): void
  reject(error: unknown): void
}

function openFloor(url: string, connections: number) {
  const pool = new Pool({ connectionString: url, max: connections, options: SESSION })
  const lanes = new Map<string, Waiting[]>()

  async function recordTogether(some: readonly Waiting[]): Promise<void> {
    try {
      const knocks = some.map(({ knock }) => knock)
      const { rows } = await pool.query({ name: 'record', text: RECORD, values: valuesOf(knocks) })
      const lost = rows.find(({ kind }) => kind !== 'committed')
      if (lost !== undefined) throw new Error(`a knock was a ${lost.kind}`)
      for (const { resolve } of some) resolve()
    } catch (error) {
      for (const { reject } of some) reject(error)
    }
  }
  async function drive(room: string, lane: Waiting[]): Promise<void> {
    while (lane.length > 0) await recordTogether(lane.splice(0, MOST_TOGETHER))
    lanes.delete(room)
  }
  function record(knock: Prepared): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry = { knock, resolve, reject }
      const lane = lanes.get(knock.room)
      if (lane !== undefined) {
        lane.push(entry)
        return
      }
      const opened = [entry]
      lanes.set(knock.room, opened)
      void drive(knock.room, opened)
    })
  }

  async function readAndRecord(knock: Prepared): Promise<void> {
    const { roomId, sender, eventId, prevEvents, authEvents } = knock
    await pool.query({ name: 'room', text: ROOM, values: [roomId, sender] })
    const asked = [roomId, sender, eventId, prevEvents, authEvents, Date.now() - HISTORY_MS]
    await pool.query({ name: 'context', text: CONTEXT, values: asked })
    await record(knock)
  }

  const inLoops = async (rows: readonly KnockRow[], once: (knock: Prepared) => Promise<void>): Promise<LoadResult> => {
    const knocks = rows.map(prepare)
    const latencies = new Float64Array(knocks.length)
    const share = Math.ceil(knocks.length / connections)
    const start = performance.now()
    const loop = async (from: number): Promise<void> => {
      for (const [index, knock] of knocks.slice(from, from + share).entries()) {
        const begun = performance.now()
        await once(knock)
        latencies[from + index] = performance.now() - begun
      }
    }
    await Promise.all(Array.from({ length: connections }, (_, index) => loop(index * share)))
    return latencySummary(latencies, (performance.now() - start) / 1000)
  }
  return {
    record: (rows: readonly KnockRow[]) => inLoops(rows, record),
    'read and record': (rows: readonly KnockRow[]) => inLoops(rows, readAndRecord),
  }
}

function prepare(row: KnockRow): Prepared {
  return {
    room: row.roomId,
    roomId: Buffer.from(row.roomId),
    attempt: randomUUID(),
    eventId: Buffer.from(row.eventId),
    sender: Buffer.from(row.sender),
    json: Buffer.from(row.json),
    prevEvents: row.prevEvents.map((id) => Buffer.from(id)),
    authEvents: row.authEvents.map((id) => Buffer.from(id)),
    decision: Buffer.from(row.decision),
    skipServers: Buffer.from(row.skipServers),
    depth: row.depth,
  }
}

function valuesOf(knocks: readonly Prepared[]): unknown[] {
  const each = <Item>(item: (knock: Prepared) => Item): Item[] => knocks.map(item)
  return [
    knocks[0]?.roomId,
    Date.now(),
    each(({ attempt }) => attempt),
    each(({ eventId }) => eventId),
    each(({ sender }) => sender),
    each(({ json }) => json),
    each(() => FACTS_REVISION),
    each(() => null),
    each(({ prevEvents }) => prevEvents.length),
    knocks.flatMap(({ prevEvents }) => prevEvents),
    each(({ decision }) => decision),
    each(({ skipServers }) => skipServers),
    each(({ depth }) => depth),
  ]
}

let floor: ReturnType<typeof openFloor> | undefined

async function answer(message: CommitFloorMessage): Promise<CommitFloorAnswer> {
  if (message.kind === 'cpu seconds') {
    const { user, system } = process.cpuUsage()
    return { kind: 'cpu seconds', seconds: (user + system) / 1e6 }
  }
  if (message.kind === 'start') {
    floor = openFloor(message.url, message.connections)
    return { kind: 'ready' }
  }
  if (floor === undefined) throw new Error('the floor was not told where to connect to')
  return { kind: 'recorded', result: await floor[message.kind](message.knocks) }
}

process.once('disconnect', () => process.exit())
process.on('message', (message: CommitFloorMessage) => {
  const failed = (error: unknown): CommitFloorAnswer => ({ kind: 'failed', reason: String(error) })
  void answer(message)
    .catch(failed)
    .then((told) => process.send?.(told))
})
