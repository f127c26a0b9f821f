/** The real programs, each with a configuration and a directory of its own, on loopback, in the foreground. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createCertificateAuthority, LOOPBACK_NAMES } from '../support/certificates.ts'
import { freePorts } from '../support/service-process.ts'

export type ProgramName = 'nginx' | 'caddy' | 'haproxy'

/** Debian's packages. */
export const PACKAGES: Readonly<Record<ProgramName, string>> = {
  nginx: 'nginx-light',
  caddy: 'caddy',
  haproxy: 'haproxy',
}

export interface RunningProxy {
  /** TLS, on 127.0.0.1. */
  readonly port: number
  /** The authority to trust, PEM. */
  readonly ca: string
  /** What the program has written so far. */
  output(): string
  stop(): Promise<void>
}

interface Site {
  readonly directory: string
  readonly port: number
  /** Of the homeserver that everything else goes to. */
  readonly homeserver: number
  /** What is tried. */
  readonly fragment: string
}

interface Setup {
  readonly config: string
  readonly args: readonly string[]
}

const STARTED_WITHIN_MS = 15_000
const STOPPED_WITHIN_MS = 5_000
/** Where system programs are, for those whose path does not say so. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/sbin']

/** The path of a program, undefined where it is not installed. */
export function findProgram(name: ProgramName): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_FOLDERS]
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

/**
 * Starts a program whose configuration sends all of Matrix to a homeserver, with a fragment beside that.
 * @param homeserver port of the homeserver
 * @throws Error with the program's own words where it does not start
 */
export async function startProxy(name: ProgramName, fragment: string, homeserver: number): Promise<RunningProxy> {
  const program = findProgram(name)
  if (program === undefined) throw new Error(`${name} is not installed`)
  const directory = await mkdtemp(join(tmpdir(), `matrix-knock-${name}-`))
  const [port = 0] = await freePorts(1)
  const authority = createCertificateAuthority()
  const { cert, key } = authority.issue(LOOPBACK_NAMES)
  await writeFile(join(directory, 'cert.pem'), cert)
  await writeFile(join(directory, 'key.pem'), key)
  await writeFile(join(directory, 'both.pem'), cert + key)
  const { config, args } = SETUPS[name]({ directory, port, homeserver, fragment })
  await writeFile(join(directory, 'config'), config)
  const environment = { PATH: process.env.PATH, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory }
  const child = spawn(program, args, { cwd: directory, env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
  const chunks: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => chunks.push(String(chunk)))
  const output = (): string => chunks.join('')
  const stop = async (): Promise<void> => {
    await end(child)
    await rm(directory, { recursive: true, force: true })
  }
  const started = await accepts(port, child)
  if (started) return { port, ca: authority.cert, output, stop }
  await stop()
  throw new Error(`${name} does not start: ${output()}\n${config}`)
}

const SETUPS: Readonly<Record<ProgramName, (site: Site) => Setup>> = {
  nginx: ({ directory, port, homeserver, fragment }) => ({
    args: ['-p', directory, '-c', 'config', '-e', 'stderr'],
    config: `daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {}
http {
  access_log off;
  client_body_temp_path bodies;
  proxy_temp_path proxied;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    # An expression, which nginx prefers to every prefix but those that say otherwise.
    location ~ ^/_matrix/ { proxy_pass http://127.0.0.1:${homeserver}; }
${fragment}
  }
}
`,
  }),
  caddy: ({ directory, port, homeserver, fragment }) => ({
    args: ['run', '--config', join(directory, 'config'), '--adapter', 'caddyfile'],
    config: `{
	admin off
	auto_https off
	default_sni localhost
}
https://127.0.0.1:${port} {
	tls ${directory}/cert.pem ${directory}/key.pem
	handle /_matrix/* {
		reverse_proxy 127.0.0.1:${homeserver}
	}
${fragment}
}
`,
  }),
  haproxy: ({ directory, port, homeserver, fragment }) => ({
    args: ['-db', '-f', join(directory, 'config')],
    config: `defaults
    mode http
    timeout client 60s
    timeout connect 5s
    timeout server 60s
backend homeserver
    server homeserver 127.0.0.1:${homeserver}
frontend federation
    bind 127.0.0.1:${port} ssl crt ${directory}/both.pem
    default_backend homeserver
${fragment}
`,
  }),
}

async function accepts(port: number, child: ChildProcess): Promise<boolean> {
  const deadline = Date.now() + STARTED_WITHIN_MS
  while (child.exitCode === null && Date.now() < deadline) {
    if (await connects(port)) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return false
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS)
  await ended
  clearTimeout(killer)
}
