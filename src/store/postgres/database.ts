/**
 * The database as the rest of this store uses it: statements and transactions that outlive a lost connection. What is
 * run here must be safe to run again, because a connection that is lost leaves unknown whether the last try was written.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Pool, type PoolClient, types } from 'pg'
import { DatabaseFailure, failureOf } from './failures.ts'
import { createSessionSetup } from './session.ts'

/** A statement of this program. With a name it is prepared once per connection; without, it may be several in one text. */
export interface Statement {
  readonly name?: string
  readonly text: string
  /** Where it may take longer than others, in milliseconds. */
  readonly withinMs?: number
}

export type Value = Buffer | string | number | boolean | null | readonly (Buffer | string | number | boolean | null)[]

/** Runs one statement; its rows. */
export type Run = <Row>(statement: Statement, values?: readonly Value[]) => Promise<readonly Row[]>

export interface Database {
  /** One statement by itself, tried again until the database is back or patience ends. */
  readonly run: Run
  /** One statement by itself, that is not tried again once it may have been written. */
  readonly runOnce: Run
  /** Several statements of which all or none are written; `work` may run several times. */
  transaction<Result>(work: (run: Run) => Promise<Result>): Promise<Result>
  /** Like `transaction`, and gives up at the first failure. */
  transactionOnce<Result>(work: (run: Run) => Promise<Result>): Promise<Result>
  /** Calls back when a connection was lost: what was read before may be of a server that is gone. */
  onLost(listener: () => void): void
  close(): Promise<void>
}

export interface DatabaseOptions {
  readonly url: string
  readonly poolSize: number
  readonly statementTimeoutMs: number
  /** How long a caller waits for a lost database, in milliseconds. */
  readonly patienceMs: number
  readonly warn: (message: string) => void
}

const CONNECT_WITHIN_MS = 5_000
/** The server ends a statement that takes too long; beyond that it is the way to the server that is broken. */
const SILENCE_MS = 3_000
const IDLE_MS = 60_000
const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 500

const INT8 = 20

/** Integers of 64 bits as numbers: revisions, depths and times stay below 2^53. */
const wholeNumbers = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : types.getTypeParser(oid, format as 'text')) as typeof types.getTypeParser,
}

/** Opens a pool. Connects to nothing before the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const { url, poolSize, statementTimeoutMs, patienceMs, warn } = options
  const pool = new Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: CONNECT_WITHIN_MS,
    idleTimeoutMillis: IDLE_MS,
    query_timeout: statementTimeoutMs + SILENCE_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: wholeNumbers,
    fallback_application_name: 'matrix-knock',
    onConnect: createSessionSetup({ statementTimeoutMs, warn }),
  })
  const lost: (() => void)[] = []
  const noteLoss = () => {
    for (const listener of lost) listener()
  }
  // Without a listener the loss of an idle connection, or of one between two statements, ends the process.
  pool.on('error', noteLoss)
  pool.on('connect', (client) => client.on('error', noteLoss))

  const once = async <Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> => {
    const client = await connect(pool)
    let fit = false
    try {
      const result = await work(client)
      fit = true
      return result
    } catch (error) {
      fit = error instanceof DatabaseFailure && error.kind !== 'unreachable'
      if (!fit) noteLoss()
      throw error
    } finally {
      client.release(!fit)
    }
  }
  const persist = async <Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> => {
    const until = performance.now() + patienceMs
    for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
      try {
        return await once(work)
      } catch (error) {
        if (!(error instanceof DatabaseFailure) || error.kind === 'refused') throw error
        if (performance.now() + wait > until) throw error
      }
      await pause(wait)
    }
  }

  return {
    run: (statement, values) => persist((client) => runOn(client)(statement, values)),
    runOnce: (statement, values) => once((client) => runOn(client)(statement, values)),
    transaction: (work) => persist((client) => inTransaction(client, work)),
    transactionOnce: (work) => once((client) => inTransaction(client, work)),
    onLost: (listener) => lost.push(listener),
    async close() {
      if (!pool.ending) await pool.end()
    },
  }
}

async function connect(pool: Pool): Promise<PoolClient> {
  if (pool.ending) throw new DatabaseFailure('refused', 'the store is closed')
  try {
    return await pool.connect()
  } catch (error) {
    throw failureOf(error)
  }
}

function runOn(client: PoolClient): Run {
  return async <Row>({ name, text, withinMs }: Statement, values: readonly Value[] = []) => {
    const query = { name, text, values: values as Value[], ...(withinMs !== undefined && { query_timeout: withinMs }) }
    try {
      const { rows } = await client.query(query)
      return rows as readonly Row[]
    } catch (error) {
      throw failureOf(error)
    }
  }
}

const BEGIN: Statement = { name: 'begin', text: 'BEGIN' }
const COMMIT: Statement = { name: 'commit', text: 'COMMIT' }
const ROLLBACK: Statement = { name: 'rollback', text: 'ROLLBACK' }

async function inTransaction<Result>(client: PoolClient, work: (run: Run) => Promise<Result>): Promise<Result> {
  const run = runOn(client)
  await run(BEGIN)
  try {
    const result = await work(run)
    await run(COMMIT)
    return result
  } catch (error) {
    // On a connection that is lost there is nothing to take back; the first failure is the one to tell.
    const lost = error instanceof DatabaseFailure && error.kind === 'unreachable'
    if (!lost) await run(ROLLBACK).catch(() => undefined)
    throw error
  }
}
