import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { FIRST_VERSION, MIGRATIONS } from '../../../src/store/postgres/schema.ts'
import { POSTGRES_PASSWORD, type PostgresServer, startPostgres } from '../../support/postgres-server.ts'
import { accept, CAROL, HERE, importRoom, knock } from '../sample-room.ts'
import { temporaryStore } from './temporary-store.ts'

const NEWEST = FIRST_VERSION + MIGRATIONS.length - 1
const SECRETS = [POSTGRES_PASSWORD, encodeURIComponent(POSTGRES_PASSWORD), '127.0.0.1', 'localhost']

describe('the tables', () => {
  it('are made once where several processes start at once', async () => {
    const schema = await temporaryStore()
    const stores = await Promise.all([1, 2, 3, 4].map(() => schema.open()))
    expect(await schema.query('SELECT version FROM store_schema')).toEqual([{ version: NEWEST }])
    const [first, second] = stores
    if (first === undefined || second === undefined) throw new Error('no stores')
    await importRoom(first)
    expect((await accept(second, knock('k', CAROL, ['bob']))).kind).toBe('committed')
  })

  it('of a newer version are refused with a remedy, and left alone', async () => {
    const schema = await temporaryStore()
    await schema.open()
    await schema.query(`UPDATE store_schema SET version = ${NEWEST + 1}`)
    await expect(schema.open()).rejects.toThrow(
      `the store has schema version ${NEWEST + 1}, this program knows versions up to ${NEWEST}: use a newer program`,
    )
    expect(await schema.query('SELECT version FROM store_schema')).toEqual([{ version: NEWEST + 1 }])
  })

  it('of a program before 0.1.0 are refused with a remedy, and left alone', async () => {
    const schema = await temporaryStore()
    await schema.open()
    await schema.query('UPDATE store_schema SET version = 5')
    await expect(schema.open()).rejects.toThrow(
      'the store has schema version 5, of a program before 0.1.0: start with a new store, and import its rooms',
    )
    expect(await schema.query('SELECT version FROM store_schema')).toEqual([{ version: 5 }])
  })

  it('that cannot be made leave nothing half done', async () => {
    const schema = await temporaryStore()
    await schema.query('CREATE TABLE server_keys (a integer)')
    await expect(schema.open()).rejects.toThrow(/"server_keys" already exists \(42P07\)/)
    expect(Object.keys(await schema.rows())).toEqual(['server_keys'])
    await schema.query('DROP TABLE server_keys')
    expect(await (await schema.open()).check()).toEqual({ ok: true })
  })
})

describe('the functions in the database', () => {
  const bodies = `SELECT proname AS name, prosrc AS body, pg_get_function_arguments(oid) AS takes FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace ORDER BY proname`

  it.each([
    ['with another text', 'record_knocks', 'CREATE OR REPLACE'],
    ['that are gone', 'drop_delivery', 'DROP'],
  ])('%s are created anew at the next start', async (_what, name, how) => {
    const schema = await temporaryStore()
    const store = await schema.open()
    await importRoom(store)
    const before = await schema.query(bodies)
    const [{ text }] = (await schema.query(
      `SELECT pg_get_functiondef(oid) AS text FROM pg_proc
       WHERE pronamespace = current_schema()::regnamespace AND proname = '${name}'`,
    )) as unknown as [{ text: string }]
    await schema.query(
      how === 'DROP'
        ? `DROP FUNCTION ${name}`
        : text.replace('#variable_conflict use_column', '$&\n-- of another program'),
    )
    expect(await schema.query(bodies)).not.toEqual(before)
    const again = await Promise.all([1, 2, 3].map(() => schema.open()))
    expect(await schema.query(bodies)).toEqual(before)
    const [first] = again
    if (first === undefined) throw new Error('no store')
    expect((await accept(first, knock('k', CAROL, ['bob']))).kind).toBe('committed')
  })

  it('whose head alone is another are created anew too', async () => {
    const schema = await temporaryStore()
    await schema.open()
    const heads = `SELECT proname, provolatile::text FROM pg_proc WHERE pronamespace = current_schema()::regnamespace ORDER BY 1`
    const before = await schema.query(heads)
    await schema.query('ALTER FUNCTION next_events IMMUTABLE')
    expect(await schema.query(heads)).not.toEqual(before)
    await schema.open()
    expect(await schema.query(heads)).toEqual(before)
  })

  it('that take something else leave no other of their name behind', async () => {
    const schema = await temporaryStore()
    await schema.open()
    const before = await schema.query(bodies)
    await schema.query(`
      DROP FUNCTION next_events;
      CREATE FUNCTION next_events(a text, b text) RETURNS text LANGUAGE sql AS $$ SELECT 'former' $$;
      CREATE FUNCTION next_events(a text) RETURNS text LANGUAGE sql AS $$ SELECT 'former' $$`)
    await schema.open()
    expect(await schema.query(bodies)).toEqual(before)
  })
})

describe('sessions', () => {
  it('wait for the disk whatever the default of the database is, and the operator is told once', async () => {
    const schema = await temporaryStore()
    await schema.open()
    await schema.query(`
      CREATE TABLE seen (setting text);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO seen VALUES (current_setting('synchronous_commit'));
        RETURN NULL;
      END $$;
      CREATE TRIGGER note AFTER INSERT OR UPDATE ON server_keys FOR EACH ROW EXECUTE FUNCTION note()`)
    for (const weak of ['off', 'local', 'remote_write']) {
      const warnings: string[] = []
      const url = `${schema.url}${encodeURIComponent(` -c synchronous_commit=${weak}`)}`
      const store = await schema.open({ url, warn: (message) => warnings.push(message) })
      await Promise.all(Array.from({ length: 8 }, () => store.check()))
      await store.writeServerKeys({ server: HERE, fetchedAt: 1, keys: [] })
      expect(warnings).toEqual([expect.stringMatching(`synchronous_commit is ${weak}: this service sets it to on`)])
    }
    expect(await schema.query('SELECT DISTINCT setting FROM seen')).toEqual([{ setting: 'on' }])
  })

  it('keep what is stronger than the default', async () => {
    const schema = await temporaryStore()
    const warnings: string[] = []
    const url = `${schema.url}${encodeURIComponent(' -c synchronous_commit=remote_apply')}`
    await schema.open({ url, warn: (message) => warnings.push(message) })
    expect(warnings).toEqual([])
  })

  it('give a statement up that takes too long, and say by which setting', async () => {
    const schema = await temporaryStore()
    const store = await schema.open({ statementTimeoutMs: 100 })
    await importRoom(store)
    const blocker = schema.query('BEGIN; SELECT * FROM rooms FOR UPDATE; SELECT pg_sleep(1); COMMIT')
    let outcome = await accept(store, knock('first', CAROL, ['bob']))
    for (let at = 0; outcome.kind === 'committed'; at++) outcome = await accept(store, knock(`k${at}`, CAROL, ['bob']))
    expect(outcome).toEqual({ kind: 'failed', reason: expect.stringContaining('store.statement_timeout_seconds') })
    await blocker
    expect((await accept(store, knock('last', CAROL, ['bob']))).kind).toBe('committed')
  })
})

describe('a server that the store must not use', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.remove())
  const open = (url = server.url) => openPostgresStore({ url, clock: Date.now, patienceMs: 200 })
  const refusal = async (url?: string) => {
    const error = await open(url).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    )
    for (const secret of SECRETS) expect(String(error?.stack)).not.toContain(secret)
    return error?.message
  }

  it('is one with fsync off', async () => {
    await server.stop('fast')
    await server.start({ fsync: 'off' })
    expect(await refusal()).toMatch(/fsync is off: what it confirms is lost in a crash; mend it with `fsync = on`/)
    await server.stop('fast')
    await server.start()
    const store = await open()
    expect(await store.check()).toEqual({ ok: true })
    await server.stop('fast')
    await server.start({ fsync: 'off' })
    expect(await store.check()).toEqual({ ok: false, reason: expect.stringMatching(/fsync is off/) })
    await store.close()
  })

  it('is used with full_page_writes off, and the operator is told', async () => {
    await server.stop('fast')
    await server.start({ full_page_writes: 'off' })
    const warnings: string[] = []
    const store = await openPostgresStore({ url: server.url, clock: Date.now, warn: (text) => warnings.push(text) })
    await store.close()
    expect(warnings).toEqual([expect.stringMatching(/full_page_writes is off/)])
  })

  it('is none at all, or one that lets us not in: the reason names no host, user, database or password', async () => {
    await server.stop('fast')
    expect(await refusal()).toMatch(/ECONNREFUSED/)
    await server.start()
    const wrong = new URL(server.url)
    wrong.password = 'wrong'
    expect(await refusal(wrong.href)).toBe('the database refused the password (28P01)')
    const missing = new URL(server.url)
    missing.pathname = '/hidden-name'
    expect(await refusal(missing.href)).toBe('there is no such database on the server (3D000)')
    const unresolved = new URL(server.url)
    unresolved.hostname = 'no-such-host.invalid'
    expect(await refusal(unresolved.href)).not.toContain('no-such-host')
  })
})
