/**
 * A real homeserver on loopback with temporary data, behind a reverse proxy with TLS that has its public name.
 * What is the same for every kind of homeserver is here; how each is set up is in `synapse.ts` and `dendrite.ts`.
 */
import { createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CertificateAuthority } from '../../support/certificates.ts'
import { freePorts } from '../../support/service-process.ts'
import { createIdentity, type Identity } from '../../support/signing.ts'
import { type Client, createClient } from './client.ts'
import { type Command, type RunningProgram, startProgram } from './program.ts'
import { startReverseProxy } from './reverse-proxy.ts'
import { send } from './web-request.ts'

export interface HomeserverOptions {
  /** Signs its certificate, and is what it trusts. */
  readonly authority: CertificateAuthority
  /** Its loopback address. Server ACLs know servers by host alone: give each server one of its own. */
  readonly host: `127.0.0.${number}`
  /** An appservice registration file. */
  readonly registrationPath?: string
  /** How much other servers may ask: what an operator has who set nothing, or without end, which is the default here. */
  readonly federationLimits?: 'usual'
  /** How it goes on with servers that failed: as an operator has it who set nothing, or at once, which is the default here. */
  readonly retries?: 'usual'
}

export interface Homeserver {
  readonly kind: 'synapse' | 'dendrite'
  /** `127.0.0.x:PORT`: literal, so that finding it asks nobody. */
  readonly name: string
  /** The key that its signing key file holds. */
  readonly identity: Identity
  /** The file in the program's own format, and its configuration file. */
  readonly signingKeyPath: string
  readonly configPath: string
  /** What other servers call: `https://NAME`, the reverse proxy. */
  readonly federationUrl: string
  /** Where the homeserver itself answers, federation too: `http://127.0.0.1:PORT`. */
  readonly clientUrl: string
  /** Makes a user and logs in. */
  register(localpart: string): Promise<Client>
  /** Makes a user who may administer it. */
  registerAdmin(localpart: string): Promise<Client>
  /** Sends make_knock and send_knock to this port of 127.0.0.1 from now on; to the homeserver where it is left out. */
  routeKnocksTo(port?: number): Promise<void>
  /** Puts a file into the server block of its proxy, in place of a route for knocks. */
  includeInProxy(path: string): Promise<void>
  /** Ends the homeserver alone: the proxy answers 502 until `up`. */
  down(): Promise<void>
  /** Starts it again on the same data. */
  up(): Promise<void>
  /** Lets it take connections and answer nothing, until `resume`. */
  pause(): void
  resume(): void
  /** What the homeserver has written so far. */
  log(): string
  /** Ends everything and removes the data. */
  stop(): Promise<void>
}

/** What a kind of homeserver is told. */
export interface Setup {
  readonly directory: string
  readonly name: string
  readonly port: number
  readonly identity: Identity
  readonly sharedSecret: string
  readonly caPath: string
  readonly registrationPath: string | undefined
  readonly federationLimits: 'usual' | undefined
  readonly retries: 'usual' | undefined
}

/** A kind of homeserver. */
export interface Kind {
  readonly kind: Homeserver['kind']
  readonly signingKeyFile: string
  readonly configFile: string
  /** Writes its files. @returns how it is started */
  prepare(setup: Setup): Promise<Command>
}

const SHARED_SECRET = 'only on loopback'
const PASSWORD = 'correct horse battery staple'

/** Starts a homeserver and its proxy, and waits until both answer. */
export async function startHomeserver(kind: Kind, options: HomeserverOptions): Promise<Homeserver> {
  const directory = await mkdtemp(join(tmpdir(), `matrix-knock-${kind.kind}-`))
  const started: { stop(): Promise<unknown> }[] = []
  const stop = async (): Promise<void> => {
    for (const program of started.reverse()) await program.stop()
    await rm(directory, { recursive: true, force: true })
  }
  try {
    const [publicPort = 0, port = 0] = await freePorts(2)
    const name = `${options.host}:${publicPort}`
    const { authority } = options
    const proxyOptions = { name, authority, homeserverPort: port, directory: join(directory, 'proxy') }
    const proxy = await startReverseProxy(proxyOptions)
    started.push(proxy)
    const program = await startRestartable(kind, directory, name, port, options)
    started.push(program)
    const { identity } = program
    const clientUrl = `http://127.0.0.1:${port}`
    return {
      kind: kind.kind,
      name,
      identity,
      signingKeyPath: join(directory, kind.signingKeyFile),
      configPath: join(directory, kind.configFile),
      federationUrl: `https://${name}`,
      clientUrl,
      register: (localpart) => register(clientUrl, localpart, 'notadmin'),
      registerAdmin: (localpart) => register(clientUrl, localpart, 'admin'),
      routeKnocksTo: (knockPort) => proxy.routeKnocksTo(knockPort),
      includeInProxy: (path) => proxy.include(path),
      down: () => program.stop(),
      up: () => program.start(),
      pause: () => program.pause(),
      resume: () => program.resume(),
      log: () => program.log(),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Restartable {
  readonly identity: Identity
  start(): Promise<void>
  stop(): Promise<void>
  pause(): void
  resume(): void
  log(): string
}

async function startRestartable(
  kind: Kind,
  directory: string,
  name: string,
  port: number,
  { authority, registrationPath, federationLimits, retries }: HomeserverOptions,
): Promise<Restartable> {
  const identity = createIdentity(name, 'ed25519:a_test')
  const caPath = join(directory, 'ca.pem')
  await writeFile(caPath, authority.cert)
  const sharedSecret = SHARED_SECRET
  const told = { directory, name, port, identity, sharedSecret, caPath, registrationPath, federationLimits, retries }
  const command = await kind.prepare(told)
  const endpoint = { url: `http://127.0.0.1:${port}` }
  let earlier = ''
  let running: RunningProgram | undefined
  const program: Restartable = {
    identity,
    log: () => earlier + (running?.log() ?? ''),
    async start() {
      running = await startProgram(command, async () => {
        const keys = await send(endpoint, 'GET', '/_matrix/key/v2/server')
        const versions = await send(endpoint, 'GET', '/_matrix/client/versions')
        return keys.status === 200 && versions.status === 200
      })
    },
    pause: () => running?.pause(),
    resume: () => running?.resume(),
    async stop() {
      await running?.stop()
      earlier += running?.log() ?? ''
      running = undefined
    },
  }
  await program.start()
  return program
}

/** Synapse and Dendrite share the way in which an operator makes users. */
async function register(url: string, localpart: string, role: 'admin' | 'notadmin'): Promise<Client> {
  const path = '/_synapse/admin/v1/register'
  const { nonce } = (await send({ url }, 'GET', path)).body
  const mac = createHmac('sha1', SHARED_SECRET)
  mac.update([nonce, localpart, PASSWORD, role].join('\0'))
  const user = { nonce, username: localpart, password: PASSWORD, admin: role === 'admin', mac: mac.digest('hex') }
  const registered = await send({ url }, 'POST', path, {}, JSON.stringify(user))
  if (registered.status !== 200) throw new Error(`${url} made no user ${localpart}: ${registered.text}`)
  return createClient(url, String(registered.body.user_id), String(registered.body.access_token))
}
