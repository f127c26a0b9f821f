/**
 * A private nginx with TLS in front of one homeserver, under the homeserver's public name: knocks can go to a service
 * beside it, everything else goes to the homeserver.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CertificateAuthority } from '../../support/certificates.ts'
import { NGINX_PROGRAM } from './install.ts'
import { type RunningProgram, startProgram } from './program.ts'
import { send } from './web-request.ts'

export interface ReverseProxyOptions {
  /** `127.0.0.x:PORT`, to listen on. */
  readonly name: string
  readonly authority: CertificateAuthority
  /** Of the homeserver, on 127.0.0.1. */
  readonly homeserverPort: number
  /** An empty directory for its files. */
  readonly directory: string
}

export interface ReverseProxy {
  /** Sends knocks to this port of 127.0.0.1 from now on; to the homeserver where it is left out. */
  routeKnocksTo(port?: number): Promise<void>
  /** Reads this file in its server block from now on, in place of a route for knocks. */
  include(path: string): Promise<void>
  log(): string
  stop(): Promise<void>
}

/** Starts nginx with all requests going to the homeserver. */
export async function startReverseProxy(options: ReverseProxyOptions): Promise<ReverseProxy> {
  const { name, authority, directory } = options
  const [host = ''] = name.split(':')
  const certificate = authority.issue([host])
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'cert.pem'), certificate.cert)
  await writeFile(join(directory, 'key.pem'), certificate.key)
  let earlier = ''
  let running = await start(options, knocksTo(options.homeserverPort))
  const restart = async (knocks: string): Promise<void> => {
    // Ended and started, not reloaded: kept connections of a reloaded nginx go on with the old routes.
    await running.stop()
    earlier += running.log()
    running = await start(options, knocks)
  }
  return {
    log: () => earlier + running.log(),
    routeKnocksTo: (port = options.homeserverPort) => restart(knocksTo(port)),
    include: (path) => restart(`include ${path};`),
    async stop() {
      await running.stop()
    },
  }
}

function knocksTo(port: number): string {
  return `location ~ ^/_matrix/federation/v1/(make|send)_knock/ { proxy_pass http://127.0.0.1:${port}; }`
}

/** @param knocks directives of the server block */
async function start(options: ReverseProxyOptions, knocks: string): Promise<RunningProgram> {
  const { directory, name, authority } = options
  await writeFile(join(directory, 'nginx.conf'), configuration(options, knocks))
  const args = ['-p', `${directory}/`, '-c', 'nginx.conf', '-e', 'stderr']
  const endpoint = { url: `https://${name}`, ca: authority.cert }
  return startProgram({ program: NGINX_PROGRAM, args, cwd: directory }, async () => {
    return (await send(endpoint, 'GET', '/proxy-is-up')).status === 204
  })
}

function configuration({ name, homeserverPort }: ReverseProxyOptions, knocks: string): string {
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
  server {
    listen ${name} ssl;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    client_max_body_size 50m;
    proxy_http_version 1.1;
    proxy_read_timeout 120s;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto https;
    location = /proxy-is-up { return 204; }
    ${knocks}
    location / { proxy_pass http://127.0.0.1:${homeserverPort}; }
  }
}
`
}
