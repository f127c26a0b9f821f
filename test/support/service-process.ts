/**
 * The built program as its operator runs it: a directory with configuration, key and store, and a process on it.
 * Everything is on loopback and in a temporary directory.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BoundSocket } from './bound-socket.ts'
import { exchange } from './http-client.ts'
import { type Identity, type JsonRecord, signingKeyLine } from './signing.ts'
import type { TestRoom } from './test-room.ts'

const PROGRAM = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const READY_WITHIN_MS = 15_000
const STOPPED_WITHIN_MS = 20_000
const FIRST_PORT = 20_000
/** https://docs.kernel.org/networking/ip-sysctl.html: ip_local_port_range; other systems begin later. */
const FIRST_EPHEMERAL = 32_768
/** The first socket that is handed over, as systemd counts. */
const HANDED_OVER = 3

/** The section `limits` where more people knock than an operator would let. */
export const NO_LIMITS = { per_user: null, per_room: null, per_server: null }

export interface ServiceOptions {
  /** Its server name and signing key. */
  readonly identity: Identity
  /** Certificates that it trusts beside the usual, PEM. */
  readonly ca: string
  readonly rooms: readonly TestRoom[]
  /** Keys of the configuration, by section, that replace or add to the usual ones. */
  readonly config?: Readonly<Record<string, JsonRecord>>
  /** There is no file where its signing key should be. */
  readonly withoutKey?: boolean
  /** A socket that is handed over to it, to listen on in place of a port of its own. */
  readonly socket?: BoundSocket
  /** Descriptors that the process may have. */
  readonly descriptors?: number
}

export interface Finished {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Service {
  readonly identity: Identity
  /** Port of the federation listener, plain HTTP on 127.0.0.1. */
  readonly port: number
  readonly adminPort: number
  readonly directory: string
  /** Runs another command on the same configuration. */
  command(...args: readonly string[]): Promise<Finished>
  /** Imports one room while the service runs. */
  importRoom(room: TestRoom): Promise<Finished>
  /** What it has written so far, before restarts too. */
  log(): string
  /** Of the process that runs now. */
  pid(): number
  /** Ends the process with SIGKILL. */
  kill(): Promise<void>
  /** Ends the process with SIGTERM. @returns the exit code, null where it had to be killed */
  end(): Promise<number | null>
  /** Starts another process on the same store and ports after the one before has ended, and waits until it is ready. */
  start(): Promise<void>
  /** Ends the process and starts another on the same store and ports. @returns the exit code of the first */
  restart(): Promise<number | null>
  /** Ends with SIGTERM, removes the directory. @returns the exit code, null where it had to be killed */
  stop(): Promise<number | null>
}

/** Sets a service up, imports its rooms, starts it, and waits until it is ready. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-test-'))
  const [freePort = 0, adminPort = 0] = await freePorts(2)
  const port = options.socket?.port ?? freePort
  const config = join(directory, 'config.yaml')
  if (options.withoutKey !== true) {
    await writeFile(join(directory, 'signing.key'), signingKeyLine(options.identity), { mode: 0o600 })
  }
  await writeFile(join(directory, 'ca.pem'), options.ca)
  await writeFile(config, JSON.stringify(configuration(directory, port, adminPort, options)))
  const command = (...args: readonly string[]): Promise<Finished> => runProgram([...args, '-c', config])
  const importRoom = (room: TestRoom): Promise<Finished> => importInto(directory, [room], command)
  try {
    if (options.rooms.length > 0) {
      const { code, stdout, stderr } = await importInto(directory, options.rooms, command)
      if (code !== 0) throw new Error(`rooms import exited with ${code}: ${stdout}${stderr}`)
    }
    const start = () => startProcess(config, adminPort, options)
    const set = { identity: options.identity, directory, port, adminPort, command, importRoom }
    return serviceOf(set, start, await start())
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

function serviceOf(
  set: Pick<Service, 'identity' | 'directory' | 'port' | 'adminPort' | 'command' | 'importRoom'>,
  start: () => Promise<Running>,
  started: Running,
): Service {
  let running = started
  let earlier = ''
  const service: Service = {
    ...set,
    log: () => earlier + running.output.join(''),
    pid: () => running.child.pid ?? 0,
    kill: () => killProcess(running.child),
    end: () => endProcess(running.child),
    async start() {
      earlier += running.output.splice(0).join('')
      running = await start()
    },
    async restart() {
      const code = await service.end()
      await service.start()
      return code
    },
    async stop() {
      const code = await service.end()
      await rm(set.directory, { recursive: true, force: true })
      return code
    },
  }
  return service
}

function configuration(directory: string, port: number, adminPort: number, options: ServiceOptions): JsonRecord {
  const usual: JsonRecord = {
    server_name: options.identity.name,
    signing_key_path: join(directory, 'signing.key'),
    listen: options.socket === undefined ? { host: '127.0.0.1', port } : { fd: HANDED_OVER },
    admin: { host: '127.0.0.1', port: adminPort },
    store: { kind: 'sqlite', path: join(directory, 'knock.db') },
    homeserver: { handover: 'none' },
    federation: { ca_path: [join(directory, 'ca.pem')], ip_range_allowlist: ['127.0.0.0/8', '::1/128'] },
  }
  const changed = Object.entries(options.config ?? {}).map(([section, values]) => {
    return [section, { ...(usual[section] as JsonRecord), ...values }] as const
  })
  return { ...usual, ...Object.fromEntries(changed) }
}

async function importInto(
  directory: string,
  rooms: readonly TestRoom[],
  command: Service['command'],
): Promise<Finished> {
  const files = await Promise.all(
    rooms.map(async (room) => {
      const file = join(directory, `room-${room.tip.eventId.slice(1, 12)}.json`)
      await writeFile(file, JSON.stringify(room.importFile()))
      return file
    }),
  )
  return command('rooms', 'import', ...files)
}

/** Runs the program to its end. */
export async function runProgram(args: readonly string[]): Promise<Finished> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const out: string[] = []
  const err: string[] = []
  child.stdout.on('data', (chunk) => out.push(String(chunk)))
  child.stderr.on('data', (chunk) => err.push(String(chunk)))
  const [code] = await once(child, 'close')
  return { code: code ?? -1, stdout: out.join(''), stderr: err.join('') }
}

interface Running {
  readonly child: ChildProcess
  readonly output: string[]
}

async function startProcess(
  config: string,
  adminPort: number,
  { socket, descriptors }: Pick<ServiceOptions, 'socket' | 'descriptors'>,
): Promise<Running> {
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...(socket === undefined ? [] : [socket.fd])]
  const run = [process.execPath, PROGRAM, 'run', '-c', config]
  const limited = descriptors === undefined ? run : ['sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'sh', ...run]
  const [program = '', ...args] = limited
  const child = spawn(program, args, { stdio })
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => output.push(String(chunk)))
  const deadline = Date.now() + READY_WITHIN_MS
  while (!(await isReady(adminPort))) {
    if (hasEnded(child)) throw new Error(`run exited with ${child.exitCode}: ${output.join('')}`)
    if (Date.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`not ready in time: ${output.join('')}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return { child, output }
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await exchange(port, { method: 'GET', path: '/ready' })).status === 200
  } catch {
    return false
  }
}

async function killProcess(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function endProcess(child: ChildProcess): Promise<number | null> {
  if (hasEnded(child)) return child.exitCode
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS)
  await ended
  clearTimeout(killer)
  return child.exitCode
}

/**
 * Ports that were free a moment ago: a service that is given port 0 cannot tell which it got. They are below those that
 * systems give to outgoing connections, so that none of these takes one while a service restarts.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listenBelowEphemeral))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

async function listenBelowEphemeral(): Promise<Server> {
  for (;;) {
    const server = createServer()
    try {
      await once(server.listen(randomInt(FIRST_PORT, FIRST_EPHEMERAL), '127.0.0.1'), 'listening')
      return server
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}
