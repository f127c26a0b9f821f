/** The built program on a directory of its own: configuration, key, store, and a log in a file as in production. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exchange } from '../test/support/http-client.ts'
import { freePorts, NO_LIMITS } from '../test/support/service-process.ts'
import { type JsonRecord, signingKeyLine } from '../test/support/signing.ts'
import type { Signer } from './native-signing.ts'
import { createDirectory, killChild, own, removeDirectory, stopChild } from './owned.ts'
import type { StorePlace } from './store-place.ts'

/** Everything that the program needs, with nothing running on it. */
export interface ServiceDirectory {
  readonly here: Signer
  readonly path: string
  readonly configPath: string
  readonly store: StorePlace
  readonly port: number
  readonly adminPort: number
  remove(): void
}

export interface RunningService {
  readonly pid: number
  /** Milliseconds from the start of its process until it said that it can serve. */
  readonly readyAfterMs: number
  /** One of its own metrics, by its name. */
  metric(name: string): Promise<number>
  /** Seconds of processor time that it has taken, of all its threads. */
  cpuSeconds(): Promise<number>
  /** Whether its process runs still. */
  runs(): boolean
  /** Ends it, whatever it logged, and whether it runs or not. */
  kill(): Promise<void>
  /** Stops it. @throws Error where it did not end with code 0, or logged an error */
  stop(): Promise<void>
}

export interface Finished {
  readonly output: string
  /** The largest resident memory that it had. */
  readonly peakBytes: number
}

const PROGRAM = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const READY_WITHIN_MS = 20_000
const POLL_MS = 5
const ERROR_LINE = /^\{"level":(?:50|60),.*$/m

/** Sections of the configuration that differ from the usual: SQLite, and no homeserver. */
export interface ServiceSections {
  readonly store?: StorePlace
  readonly homeserver?: JsonRecord
  readonly federation?: JsonRecord
  /** Beside host and port. */
  readonly listen?: JsonRecord
  readonly timeouts?: JsonRecord
  readonly limits?: JsonRecord
}

export async function createServiceDirectory(here: Signer, sections: ServiceSections = {}): Promise<ServiceDirectory> {
  const path = createDirectory()
  const [port = 0, adminPort = 0] = await freePorts(2)
  const configPath = join(path, 'config.yaml')
  const store: StorePlace = sections.store ?? { kind: 'sqlite', path: join(path, 'knock.db') }
  const config = {
    server_name: here.identity.name,
    signing_key_path: join(path, 'signing.key'),
    admin: { host: '127.0.0.1', port: adminPort },
    homeserver: { handover: 'none' },
    // What is measured is the service, not what the operator allows.
    limits: NO_LIMITS,
    ...sections,
    listen: { host: '127.0.0.1', port, ...sections.listen },
    store,
  }
  writeFileSync(join(path, 'signing.key'), signingKeyLine(here.identity), { mode: 0o600 })
  writeFileSync(configPath, JSON.stringify(config))
  return { here, path, configPath, store, port, adminPort, remove: () => removeDirectory(path) }
}

/** Starts the service and waits until it is ready. @param flags of Node itself */
export async function startService(
  { path, configPath, adminPort }: ServiceDirectory,
  ...flags: readonly string[]
): Promise<RunningService> {
  const logPath = join(path, 'service.log')
  const log = openSync(logPath, 'a')
  const start = performance.now()
  const child = own(
    spawn(process.execPath, [...flags, PROGRAM, 'run', '-c', configPath], { stdio: ['ignore', log, log] }),
  )
  closeSync(log)
  await untilReady(child, adminPort, logPath)
  const readyAfterMs = performance.now() - start
  return {
    pid: child.pid ?? 0,
    runs: () => child.exitCode === null && child.signalCode === null,
    kill: () => killChild(child),
    readyAfterMs,
    metric: (name) => readMetric(adminPort, name),
    cpuSeconds: () => readMetric(adminPort, 'process_cpu_seconds_total'),
    async stop() {
      await stopChild(child, 'the service')
      const [bug] = ERROR_LINE.exec(readFileSync(logPath, 'utf8')) ?? []
      if (bug !== undefined) throw new Error(`the service logged an error: ${bug}`)
    },
  }
}

async function untilReady(child: ChildProcess, adminPort: number, logPath: string): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS
  while (!(await isReady(adminPort))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      throw new Error(`the service did not start: ${readFileSync(logPath, 'utf8')}`)
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await exchange(port, { method: 'GET', path: '/ready' })).status === 200
  } catch {
    return false
  }
}

async function readMetric(port: number, name: string): Promise<number> {
  const { text } = await exchange(port, { method: 'GET', path: '/metrics' })
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  if (line === undefined) throw new Error(`the service has no metric ${name}`)
  return Number(line.slice(name.length + 1))
}

/** Runs another command of the program on the same configuration. @throws Error where it fails */
export async function runCommand(directory: ServiceDirectory, ...args: readonly string[]): Promise<Finished> {
  const peakPath = join(directory.path, 'peak-kilobytes')
  const report = `import { writeFileSync } from 'node:fs'
    process.on('exit', () => writeFileSync(${JSON.stringify(peakPath)}, String(process.resourceUsage().maxRSS)))`
  const preload = `data:text/javascript,${encodeURIComponent(report)}`
  const command = ['--import', preload, PROGRAM, ...args, '-c', directory.configPath]
  const child = own(spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] }))
  const output: string[] = []
  child.stdout.on('data', (chunk) => output.push(String(chunk)))
  child.stderr.on('data', (chunk) => output.push(String(chunk)))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${output.join('')}`)
  return { output: output.join(''), peakBytes: Number(readFileSync(peakPath, 'utf8')) * 1024 }
}
