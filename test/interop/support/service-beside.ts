/** The built service beside a real homeserver, as its operator runs it: a directory of its own and a process on it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exchange } from '../../support/http-client.ts'
import { type Finished, freePorts, NO_LIMITS, runProgram } from '../../support/service-process.ts'
import type { JsonRecord } from '../../support/signing.ts'
import type { Homeserver } from './homeserver.ts'
import { type RunningProgram, startProgram } from './program.ts'

export interface BesideOptions {
  readonly homeserver: Homeserver
  /** Certificates that it trusts beside the usual, PEM. */
  readonly ca: string
  readonly handover: 'inject' | 'forward'
  /** Its own event templates, or those of the homeserver: with the signing key, or as if the homeserver kept it. */
  readonly template?: 'own' | 'upstream' | 'upstream without key'
  /** Where the homeserver tells it of events; without it rooms are read by age. */
  readonly appservice: { readonly port: number; readonly registrationPath: string } | undefined
  readonly maxStateAgeSeconds: number
}

export interface ServiceBeside {
  /** Port of the federation listener on 127.0.0.1. */
  readonly port: number
  /** Runs another command on the same configuration. */
  command(...args: readonly string[]): Promise<Finished>
  /** How many knocks it has accepted since it was started last. */
  acceptedKnocks(): Promise<number>
  /** How often it has answered a call with a status since it was started last. */
  answered(call: 'make_knock' | 'send_knock', status: number): Promise<number>
  up(): Promise<void>
  down(): Promise<void>
  log(): string
  /** Ends it and removes its directory. @throws Error where it logged a bug or did not end by itself */
  stop(): Promise<void>
}

const PROGRAM = fileURLToPath(new URL('../../../dist/main.js', import.meta.url))

/** Starts the service and waits until it is ready. */
export async function startServiceBeside(options: BesideOptions): Promise<ServiceBeside> {
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-beside-'))
  const [port = 0, adminPort = 0] = await freePorts(2)
  const config = join(directory, 'config.yaml')
  await writeFile(join(directory, 'ca.pem'), options.ca)
  await writeFile(config, JSON.stringify(configuration(options, directory, port, adminPort)))
  let earlier = ''
  let running: RunningProgram | undefined
  const service: ServiceBeside = {
    port,
    command: (...args) => runProgram([...args, '-c', config]),
    acceptedKnocks: () => service.answered('send_knock', 200),
    answered: (call, status) => countAnswers(adminPort, call, status),
    async up() {
      const command = { program: process.execPath, args: [PROGRAM, 'run', '-c', config], cwd: directory }
      running = await startProgram(command, () => isReady(adminPort))
    },
    async down() {
      const code = await running?.stop()
      earlier += running?.log() ?? ''
      running = undefined
      if (code !== undefined && code !== 0) throw new Error(`the service ended with ${code}: ${earlier}`)
    },
    log: () => earlier + (running?.log() ?? ''),
    async stop() {
      try {
        await service.down()
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
      const bugs = earlier.split('\n').filter(isBug)
      if (bugs.length > 0) throw new Error(`the service logged errors:\n${bugs.join('\n')}`)
    },
  }
  await service.up().catch(async (error) => {
    await rm(directory, { recursive: true, force: true })
    throw error
  })
  return service
}

function configuration(
  { homeserver, handover, template = 'own', appservice, maxStateAgeSeconds }: BesideOptions,
  directory: string,
  port: number,
  adminPort: number,
): JsonRecord {
  const listener = appservice && {
    listen: { host: '127.0.0.1', port: appservice.port },
    registration_path: appservice.registrationPath,
  }
  return {
    server_name: homeserver.name,
    signing_key_path: template === 'upstream without key' ? join(directory, 'none.key') : homeserver.signingKeyPath,
    listen: { host: '127.0.0.1', port },
    admin: { host: '127.0.0.1', port: adminPort },
    store: { kind: 'sqlite', path: join(directory, 'knock.db') },
    homeserver: {
      handover,
      template: template === 'own' ? template : 'upstream',
      url: homeserver.clientUrl,
      max_state_age_seconds: maxStateAgeSeconds,
      ...(listener && { appservice: listener }),
    },
    limits: NO_LIMITS,
    federation: { ca_path: [join(directory, 'ca.pem')], ip_range_allowlist: ['127.0.0.0/8'] },
  }
}

async function isReady(adminPort: number): Promise<boolean> {
  return (await exchange(adminPort, { method: 'GET', path: '/ready' })).status === 200
}

async function countAnswers(adminPort: number, call: string, status: number): Promise<number> {
  const { text } = await exchange(adminPort, { method: 'GET', path: '/metrics' })
  const series = new RegExp(`^matrix_knock_requests_total\\{route="${call}",status="${status}"[^}]*\\} (\\d+)$`, 'm')
  return Number(series.exec(text)?.[1] ?? 0)
}

const ERROR_LEVEL = 50

/** Lines of the log that tell of a bug: no program is one that answers 504 because the homeserver does not. */
function isBug(line: string): boolean {
  if (!line.startsWith('{')) return line !== ''
  const { level, status } = JSON.parse(line) as JsonRecord
  return Number(level) >= ERROR_LEVEL && status !== 504
}
