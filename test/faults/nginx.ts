/** A real nginx before replicas, with the lines that docs/scaling.md has, in plain HTTP. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { NGINX_PROGRAM } from '../interop/support/install.ts'
import { type RunningProgram, startProgram } from '../interop/support/program.ts'
import { exchange } from '../support/http-client.ts'
import { freePorts } from '../support/service-process.ts'

export interface Nginx extends Pick<RunningProgram, 'log'> {
  readonly port: number
}

const PAGE = fileURLToPath(new URL('../../docs/scaling.md', import.meta.url))
/** Of the server in an upstream, apart from its address. */
const SERVER = /^ +server 10\.0\.0\.11:8450(.*)$/m
const LOCATION = /^ +proxy_pass http:\/\/matrix_knock;\n(?: +proxy_.*\n)+/m
const KEEPALIVE = /^ +keepalive \d+;$/m

/** What the page tells operators to write. */
async function linesOfPage() {
  const page = await readFile(PAGE, 'utf8')
  const [, server] = SERVER.exec(page) ?? []
  const [location] = LOCATION.exec(page) ?? []
  const [keepalive] = KEEPALIVE.exec(page) ?? []
  if (!server || !location || !keepalive) throw new Error('docs/scaling.md has no lines for nginx')
  return { server, location, keepalive }
}

type Connections = 'kept' | 'one for each request'

/**
 * Starts it; it ends with the test.
 * @param ports of the replicas, on 127.0.0.1
 */
export async function startNginx(ports: readonly number[], connections: Connections = 'kept'): Promise<Nginx> {
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-nginx-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const [port = 0] = await freePorts(1)
  const { server, location, keepalive } = await linesOfPage()
  const servers = ports.map((replica) => `    server 127.0.0.1:${replica}${server}`)
  const upstream = [...servers, ...(connections === 'kept' ? [keepalive] : [])].join('\n')
  await writeFile(join(directory, 'nginx.conf'), configuration(port, upstream, location))
  const args = ['-p', `${directory}/`, '-c', 'nginx.conf', '-e', 'stderr']
  const program = await startProgram({ program: NGINX_PROGRAM, args, cwd: directory }, async () => {
    return (await exchange(port, { method: 'GET', path: '/proxy-is-up' })).status === 204
  })
  onTestFinished(async () => {
    await program.stop()
  })
  return { port, log: program.log }
}

function configuration(port: number, upstream: string, location: string): string {
  return `daemon off;
master_process off;
error_log stderr warn;
pid nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream matrix_knock {
${upstream}
  }
  server {
    listen 127.0.0.1:${port};
    location = /proxy-is-up { return 204; }
    location ~ ^/_matrix/federation/v1/(make|send)_knock/ {
${location}
      proxy_set_header Host $host;
      proxy_connect_timeout 5s;
      proxy_read_timeout 60s;
    }
  }
}
`
}
