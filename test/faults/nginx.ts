/** A real nginx before replicas, as docs/scaling.md sets it up, in plain HTTP. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { NGINX_PROGRAM } from '../interop/support/install.ts'
import { type RunningProgram, startProgram } from '../interop/support/program.ts'
import { exchange } from '../support/http-client.ts'
import { freePorts } from '../support/service-process.ts'

export interface Nginx extends Pick<RunningProgram, 'log'> {
  readonly port: number
}

/**
 * Starts it; it ends with the test.
 * @param upstream the lines of the `upstream` block
 */
export async function startNginx(upstream: readonly string[]): Promise<Nginx> {
  const directory = await mkdtemp(join(tmpdir(), 'matrix-knock-nginx-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const [port = 0] = await freePorts(1)
  await writeFile(join(directory, 'nginx.conf'), configuration(port, upstream))
  const args = ['-p', `${directory}/`, '-c', 'nginx.conf', '-e', 'stderr']
  const program = await startProgram({ program: NGINX_PROGRAM, args, cwd: directory }, async () => {
    return (await exchange(port, { method: 'GET', path: '/proxy-is-up' })).status === 204
  })
  onTestFinished(async () => {
    await program.stop()
  })
  return { port, log: program.log }
}

function configuration(port: number, upstream: readonly string[]): string {
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
${upstream.map((line) => `    ${line}\n`).join('')}  }
  server {
    listen 127.0.0.1:${port};
    location = /proxy-is-up { return 204; }
    location ~ ^/_matrix/federation/v1/(make|send)_knock/ {
      proxy_pass http://matrix_knock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_connect_timeout 5s;
      proxy_read_timeout 60s;
    }
  }
}
`
}
