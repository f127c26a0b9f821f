/** A real PostgreSQL server for tests, on a free port of 127.0.0.1, with everything in a temporary directory. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findPostgres, type PostgresBinaries } from './postgres-binaries.ts'

const READY_WITHIN_MS = 30_000
const ENDED_WITHIN_MS = 20_000
const PORT_TRIES = 3
export const POSTGRES_USER = 'knock'
export const POSTGRES_PASSWORD = 'a password: that/must@not%show'

export interface PostgresServer {
  readonly port: number
  /** For a role that may do everything, on a database that exists. */
  readonly url: string
  /**
   * Ends the server: `fast` cuts connections and writes everything, `immediate` is as if it had crashed.
   */
  stop(how: 'fast' | 'immediate'): Promise<void>
  /** Starts it again on the same data and port, with other settings beside those from the beginning. */
  start(settings?: Readonly<Record<string, string>>): Promise<void>
  /** Ends it and removes everything. */
  remove(): Promise<void>
}

interface Owner {
  readonly uid?: number
  readonly gid?: number
}

/**
 * Makes a cluster and starts a server on it.
 * @param settings as in postgresql.conf
 * @throws Error with what the server wrote where it cannot be started
 */
export async function startPostgres(settings: Readonly<Record<string, string>> = {}): Promise<PostgresServer> {
  const owner = await unprivileged()
  const binaries = await findPostgres()
  const directory = await mkdtemp(join(tmpdir(), 'knock-postgres-'))
  const remove = async () => {
    await rm(directory, { recursive: true, force: true })
    await binaries.discard()
  }
  try {
    await createCluster(binaries, directory, owner)
    for (let left = PORT_TRIES; ; left--) {
      const port = await freePort()
      try {
        const child = await startServer(binaries, { directory, port, owner, settings })
        return serverOf({ binaries, directory, port, owner, settings }, child, remove)
      } catch (error) {
        if (left <= 1) throw error
      }
    }
  } catch (error) {
    await remove()
    throw error
  }
}

interface Start {
  readonly directory: string
  readonly port: number
  readonly owner: Owner
  readonly settings: Readonly<Record<string, string>>
}

function serverOf(
  start: Start & { readonly binaries: PostgresBinaries },
  started: ChildProcess,
  remove: () => Promise<void>,
): PostgresServer {
  let child = started
  return {
    port: start.port,
    url: `postgres://${POSTGRES_USER}:${encodeURIComponent(POSTGRES_PASSWORD)}@127.0.0.1:${start.port}/postgres`,
    stop: (how) => end(child, how === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    async start(settings = {}) {
      child = await startServer(start.binaries, { ...start, settings: { ...start.settings, ...settings } })
    },
    async remove() {
      await end(child, 'SIGQUIT')
      await remove()
    },
  }
}

/** The server refuses to run as root: then it runs as another user of the system. */
async function unprivileged(): Promise<Owner> {
  if (process.getuid?.() !== 0) return {}
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all(['-u', '-g'].map((what) => promisify(execFile)('id', [what, name])))
      return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) }
    } catch {
      // There is no user of that name.
    }
  }
  throw new Error(
    'no PostgreSQL server for the tests: it does not run as root, and there is no user postgres or nobody',
  )
}

async function createCluster({ initdb }: PostgresBinaries, directory: string, owner: Owner): Promise<void> {
  const passwords = join(directory, 'password')
  await writeFile(passwords, POSTGRES_PASSWORD)
  await chmod(directory, 0o700)
  if (owner.uid !== undefined && owner.gid !== undefined) {
    for (const path of [directory, passwords]) await chown(path, owner.uid, owner.gid)
  }
  const options = ['-D', join(directory, 'data'), '-U', POSTGRES_USER, '--pwfile', passwords, '--auth=scram-sha-256']
  const locale = ['--encoding=UTF8', '--locale=C', '--no-sync']
  await promisify(execFile)(initdb, [...options, ...locale], { ...owner, cwd: directory, env: environment(directory) })
}

async function startServer({ postgres }: PostgresBinaries, { directory, port, owner, settings }: Start) {
  const all = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: directory,
    shared_buffers: '32MB',
    max_connections: '120',
    logging_collector: 'off',
    ...settings,
  }
  const options = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn(postgres, ['-D', join(directory, 'data'), ...options], {
    ...owner,
    cwd: directory,
    env: environment(directory),
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await ready(child)
  return child
}

function environment(home: string): NodeJS.ProcessEnv {
  return { HOME: home, PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }
}

/** Until it accepts connections. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = ''
    let settled = false
    const fail = (why: string) => {
      if (settled) return
      settled = true
      child.kill('SIGKILL')
      reject(new Error(`the PostgreSQL server for the tests ${why}: ${log}`))
    }
    const timer = setTimeout(() => fail('was not ready in time'), READY_WITHIN_MS)
    child.once('error', (error) => fail(`could not be started (${error.message})`))
    child.once('exit', (code) => {
      clearTimeout(timer)
      fail(`ended with code ${code}`)
    })
    child.stderr?.on('data', (chunk) => {
      if (settled) return
      log += chunk
      if (!log.includes('ready to accept connections')) return
      clearTimeout(timer)
      settled = true
      resolve()
    })
  })
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  const killer = setTimeout(() => child.kill('SIGKILL'), ENDED_WITHIN_MS)
  await ended
  clearTimeout(killer)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}
