/** Connections to the database file: what every writing one must be, and what a reading one may do. */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from '@photostructure/sqlite'
import { schemaVersions } from '../schema-version.ts'
import { createDatabase, type Database } from './database.ts'
import { FIRST_VERSION, MIGRATIONS } from './schema.ts'

/** How long a writer waits for another process before it gives up, in milliseconds. */
export const BUSY_DEADLINE_MS = 10_000
/** SQLite's own wait is kept short: its pauses grow, and the writer would miss the gaps between an import's chunks. */
const BUSY_POLL_MS = 5
const READER_BUSY_MS = 5_000
const FULL = 2
/** "KNCK": whose file it is. https://www.sqlite.org/pragma.html#pragma_application_id */
const APPLICATION_ID = 0x4b4e434b
/** The log is cut back to this size once it has been copied into the database. */
const LOG_LIMIT_BYTES = 64 * 1024 * 1024
/** The system keeps the file in memory too: more than the pages of a few transactions would be kept twice. */
const WRITER_CACHE_KIB = 4_000
/** Every commit of the writer empties it. */
const READER_CACHE_KIB = 2_000

export interface WriterOptions {
  readonly path: string
  /** The file never grows beyond this; a write that would is refused as on a full disk. */
  readonly maxBytes?: number
}

/**
 * Opens the writing connection: creates the file (readable by its owner only) and brings its schema up to date.
 * @throws Error where the file was written by a newer version, or the connection would not sync before a commit returns
 */
export function openWriter({ path, maxBytes }: WriterOptions): Database {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  closeSync(openSync(path, 'a', 0o600))
  const db = connect(path)
  try {
    makeReady(db, maxBytes)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Opens a file that nobody else has open, and lets nobody in until it is closed.
 * @throws Error as openWriter does, and where somebody has it open
 */
export function openAlone(path: string): Database {
  const db = connect(path)
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    db.exec('BEGIN IMMEDIATE; ROLLBACK')
    makeReady(db, undefined)
    return db
  } catch (error) {
    db.close()
    if (isBusy(error)) throw new Error('it is in use: stop the service and every other command first')
    throw error
  }
}

function connect(path: string): Database {
  return createDatabase(new DatabaseSync(path, { timeout: BUSY_POLL_MS, enableForeignKeyConstraints: false }))
}

function makeReady(db: Database, maxBytes: number | undefined): void {
  retryWhileBusy(() => assertOurs(db))
  retryWhileBusy(() => db.exec('PRAGMA journal_mode = WAL'))
  db.exec('PRAGMA synchronous = FULL')
  db.exec(`PRAGMA journal_size_limit = ${LOG_LIMIT_BYTES}`)
  db.exec(`PRAGMA cache_size = -${WRITER_CACHE_KIB}`)
  // Else what a savepoint might undo is written to a temporary file: more than is written to the log.
  db.exec('PRAGMA temp_store = MEMORY')
  assertDurable(db)
  if (maxBytes !== undefined) db.exec(`PRAGMA max_page_count = ${Math.ceil(maxBytes / pragma(db, 'page_size'))}`)
  migrate(db)
}

/** Closes the writing connection, and leaves everything in the database file itself as far as others let it. */
export function closeWriter(db: Database): void {
  try {
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  } catch {
    // What is not copied stays in the log, where the next start finds it.
  }
  db.close()
}

/** Opens a connection that can only read. The file must exist. */
export function openReader(path: string): Database {
  const db = createDatabase(new DatabaseSync(path, { readOnly: true, timeout: READER_BUSY_MS }))
  db.exec('PRAGMA query_only = ON')
  db.exec(`PRAGMA cache_size = -${READER_CACHE_KIB}`)
  return db
}

/** Refuses a connection whose commits could return before the log is on disk: a 200 would promise too much. */
export function assertDurable(db: Database): void {
  const mode = db.prepare('PRAGMA journal_mode').get() as { journal_mode: string }
  if (mode.journal_mode !== 'wal') throw new Error(`the store's journal mode is ${mode.journal_mode}, it must be wal`)
  const synchronous = pragma(db, 'synchronous')
  if (synchronous < FULL) throw new Error(`the store's synchronous level is ${synchronous}, it must be ${FULL} (FULL)`)
}

/** Refuses a database of another program before anything in it is changed. */
function assertOurs(db: Database): void {
  const id = pragma(db, 'application_id')
  if (id === APPLICATION_ID) return
  const tables = db.prepare(`SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'`).get() as { n: number }
  const before = db.prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'knocks'`).get()
  if (id === 0 && (tables.n === 0 || before !== undefined)) return
  throw new Error('it is a database of another program: set store.path to a file of its own')
}

/** Starts a transaction that may write, waiting for other processes up to the deadline. */
export function beginImmediate(db: Database): void {
  retryWhileBusy(() => db.exec('BEGIN IMMEDIATE'))
}

const VERSIONS = schemaVersions(FIRST_VERSION, MIGRATIONS)

function migrate(db: Database): void {
  beginImmediate(db)
  try {
    // A new file has version 0.
    const version = pragma(db, 'user_version') || undefined
    const flaw = version === undefined ? undefined : VERSIONS.flaw(version)
    if (flaw !== undefined) throw new Error(flaw)
    for (const migration of VERSIONS.missing(version)) db.exec(migration)
    db.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
    db.exec(`PRAGMA user_version = ${VERSIONS.newest}`)
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

function pragma(db: Database, name: string): number {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[0] ?? 0
}

function retryWhileBusy(action: () => void): void {
  const deadline = Date.now() + BUSY_DEADLINE_MS
  for (;;) {
    try {
      action()
      return
    } catch (error) {
      if (!isBusy(error) || Date.now() > deadline) throw error
      pause(1)
    }
  }
}

function isBusy(error: unknown): boolean {
  const code = (error as { sqliteCode?: unknown }).sqliteCode
  return code === 5 || code === 6
}

/** Holds this thread; only ever called on the writer's own. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
