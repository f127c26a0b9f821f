/** Brings the tables and the functions up to date, one process at a time however many start at once. */
import { schemaVersions } from '../schema-version.ts'
import type { Database, Run, Statement } from './database.ts'
import { DatabaseFailure } from './failures.ts'
import { areFunctionsCurrent, createFunctions } from './functions.ts'
import { FIRST_VERSION, MIGRATIONS } from './schema.ts'

const VERSIONS = schemaVersions(FIRST_VERSION, MIGRATIONS)

/** The first half of this store's advisory locks; the second is the schema that its tables are in. */
export const LOCKS = { migrate: 1_802_396_011, prune: 1_802_396_012 } as const

const PATIENCE_MS = 10 * 60_000

const PATIENCE: Statement = { text: `SET LOCAL statement_timeout = ${PATIENCE_MS}` }
const LOCK: Statement = {
  name: 'migrate-lock',
  text: 'SELECT pg_advisory_xact_lock($1::integer, hashtext(current_schema()))',
  withinMs: PATIENCE_MS,
}
/** Asks the catalogue's rows: a look-up by name may answer from before the wait for the lock. */
const PRESENT: Statement = {
  name: 'schema-present',
  text: `SELECT 1 AS present FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'store_schema'`,
}
const VERSION: Statement = { name: 'schema-version', text: 'SELECT version FROM store_schema' }
const CREATE: Statement = {
  text: 'CREATE TABLE store_schema (version integer NOT NULL); INSERT INTO store_schema (version) VALUES (0)',
}
const RAISE: Statement = { name: 'schema-raise', text: 'UPDATE store_schema SET version = $1' }

/**
 * Makes the tables, or changes them to the newest version, and creates the functions that differ.
 * @throws DatabaseFailure where they are of a version that this program does not know, or cannot be made
 */
export async function migrate(database: Database): Promise<void> {
  if ((await readVersion(database.run)) === VERSIONS.newest && (await areFunctionsCurrent(database.run))) return
  await database.transaction(async (run) => {
    await run(PATIENCE)
    await run(LOCK, [LOCKS.migrate])
    const found = await readVersion(run)
    if (found === undefined) await run(CREATE)
    for (const text of VERSIONS.missing(found)) await run({ text, withinMs: PATIENCE_MS })
    await run(RAISE, [VERSIONS.newest])
    await createFunctions(run)
  })
}

/** The version of the tables, or undefined where there are none. */
async function readVersion(run: Run): Promise<number | undefined> {
  if ((await run(PRESENT)).length === 0) return undefined
  const [row] = await run<{ version: number }>(VERSION)
  const version = row?.version ?? 0
  const flaw = VERSIONS.flaw(version)
  if (flaw !== undefined) throw new DatabaseFailure('refused', flaw)
  return version
}
