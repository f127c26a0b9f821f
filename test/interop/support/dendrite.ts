/**
 * Dendrite with SQLite, one process, no limits on rates, and the test's own authority as the only one it trusts.
 * https://matrix-org.github.io/dendrite/
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Identity, JsonRecord } from '../../support/signing.ts'
import { type Homeserver, type HomeserverOptions, type Kind, type Setup, startHomeserver } from './homeserver.ts'
import { DENDRITE_PROGRAM } from './install.ts'
import type { Command } from './program.ts'

const DENDRITE: Kind = { kind: 'dendrite', signingKeyFile: 'matrix_key.pem', configFile: 'dendrite.yaml', prepare }

/** Starts Dendrite behind its proxy. */
export function startDendrite(options: HomeserverOptions): Promise<Homeserver> {
  return startHomeserver(DENDRITE, options)
}

async function prepare(setup: Setup): Promise<Command> {
  const { directory, port, identity, caPath } = setup
  await mkdir(join(directory, 'media'))
  await mkdir(join(directory, 'no-authorities'))
  await writeFile(join(directory, DENDRITE.signingKeyFile), signingKeyPem(identity), { mode: 0o600 })
  await writeFile(join(directory, DENDRITE.configFile), JSON.stringify(configuration(setup)))
  const listen = ['-http-bind-address', `127.0.0.1:${port}`, '-https-bind-address', '127.0.0.1:0']
  return {
    program: DENDRITE_PROGRAM,
    args: ['-config', DENDRITE.configFile, ...listen],
    // Where Go programs look for authorities.
    env: { SSL_CERT_FILE: caPath, SSL_CERT_DIR: join(directory, 'no-authorities') },
    cwd: directory,
  }
}

/** The block that Dendrite keeps its signing key in. */
function signingKeyPem({ keyId, seed }: Identity): string {
  const lines = [`Key-ID: ${keyId}`, '', Buffer.from(seed).toString('base64')]
  return `-----BEGIN MATRIX PRIVATE KEY-----\n${lines.join('\n')}\n-----END MATRIX PRIVATE KEY-----\n`
}

const WITH_DATABASES = [
  'federation_api',
  'key_server',
  'media_api',
  'room_server',
  'sync_api',
  'relay_api',
  'mscs',
] as const

function configuration({ directory, name, sharedSecret, registrationPath }: Setup): JsonRecord {
  const databases = WITH_DATABASES.map((part) => [part, { database: database(directory, part) }] as const)
  const { federation_api, media_api, ...others } = Object.fromEntries(databases)
  return {
    version: 2,
    global: {
      server_name: name,
      private_key: join(directory, DENDRITE.signingKeyFile),
      jetstream: { storage_path: directory },
      cache: { max_size_estimated: '64mb', max_age: '1h' },
    },
    app_service_api: { config_files: registrationPath === undefined ? [] : [registrationPath] },
    client_api: {
      registration_disabled: true,
      guests_disabled: true,
      registration_shared_secret: sharedSecret,
      rate_limiting: { enabled: false },
    },
    federation_api: { ...federation_api, deny_networks: [], key_perspectives: [], prefer_direct_fetch: true },
    media_api: { ...media_api, base_path: join(directory, 'media') },
    user_api: { account_database: database(directory, 'user_api'), bcrypt_cost: 4 },
    ...others,
    logging: [{ type: 'std', level: 'info' }],
  }
}

function database(directory: string, part: string): JsonRecord {
  return { connection_string: `file:${join(directory, `${part}.db`)}` }
}
