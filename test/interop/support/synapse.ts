/**
 * Synapse with SQLite, one process, no limits on rates, and the test's own authority as the only one it trusts.
 * https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type JsonRecord, signingKeyLine } from '../../support/signing.ts'
import { type Homeserver, type HomeserverOptions, type Kind, type Setup, startHomeserver } from './homeserver.ts'
import { SYNAPSE_PYTHON } from './install.ts'
import type { Command } from './program.ts'

const SYNAPSE: Kind = { kind: 'synapse', signingKeyFile: 'signing.key', configFile: 'homeserver.yaml', prepare }

/** Starts Synapse behind its proxy. */
export function startSynapse(options: HomeserverOptions): Promise<Homeserver> {
  return startHomeserver(SYNAPSE, options)
}

async function prepare(setup: Setup): Promise<Command> {
  const { directory, identity } = setup
  const config = join(directory, SYNAPSE.configFile)
  await writeFile(join(directory, SYNAPSE.signingKeyFile), signingKeyLine(identity), { mode: 0o600 })
  await writeFile(join(directory, 'log.yaml'), JSON.stringify(LOGGING))
  await writeFile(config, JSON.stringify(configuration(setup)))
  return { program: SYNAPSE_PYTHON, args: ['-m', 'synapse.app.homeserver', '-c', config], cwd: directory }
}

const LOGGING: JsonRecord = {
  version: 1,
  formatters: { line: { format: '%(asctime)s %(levelname)s %(name)s %(request)s %(message)s' } },
  filters: { context: { '()': 'synapse.logging.context.LoggingContextFilter' } },
  handlers: { out: { class: 'logging.StreamHandler', formatter: 'line', filters: ['context'] } },
  root: { level: 'INFO', handlers: ['out'] },
}

const UNLIMITED: JsonRecord = { per_second: 10_000, burst_count: 10_000 }
const UNLIMITED_FEDERATION: JsonRecord = {
  window_size: 1000,
  sleep_limit: 10_000,
  sleep_delay: 1,
  reject_limit: 10_000,
  concurrent: 100,
}

/** In milliseconds: who found another homeserver down while it was started again knocks there a moment later. */
const RETRIES_AT_ONCE: JsonRecord = { destination_min_retry_interval: 50, destination_max_retry_interval: 100 }

function configuration(setup: Setup): JsonRecord {
  const { directory, name, port, sharedSecret, caPath, registrationPath, federationLimits, retries } = setup
  return {
    server_name: name,
    public_baseurl: `https://${name}/`,
    pid_file: join(directory, 'synapse.pid'),
    listeners: [
      {
        port,
        bind_addresses: ['127.0.0.1'],
        type: 'http',
        x_forwarded: true,
        resources: [{ names: ['client', 'federation'] }],
      },
    ],
    database: { name: 'sqlite3', args: { database: join(directory, 'synapse.db') } },
    media_store_path: join(directory, 'media'),
    log_config: join(directory, 'log.yaml'),
    signing_key_path: join(directory, SYNAPSE.signingKeyFile),
    registration_shared_secret: sharedSecret,
    macaroon_secret_key: 'only on loopback',
    form_secret: 'only on loopback',
    report_stats: false,
    trusted_key_servers: [],
    federation_custom_ca_list: [caPath],
    app_service_config_files: registrationPath === undefined ? [] : [registrationPath],
    // A client that begins anew within two minutes would be told what it was told before.
    caches: { sync_response_cache_duration: '0s' },
    bcrypt_rounds: 4,
    presence: { enabled: false },
    ...withoutLimits(),
    ...(federationLimits !== 'usual' && { rc_federation: UNLIMITED_FEDERATION }),
    ...(retries !== 'usual' && { federation: RETRIES_AT_ONCE }),
  }
}

function withoutLimits(): JsonRecord {
  return {
    ip_range_blocklist: [],
    ip_range_blacklist: [],
    federation_ip_range_blocklist: [],
    federation_ip_range_blacklist: [],
    rc_message: UNLIMITED,
    rc_registration: UNLIMITED,
    rc_login: { address: UNLIMITED, account: UNLIMITED, failed_attempts: UNLIMITED },
    rc_joins: { local: UNLIMITED, remote: UNLIMITED },
    rc_joins_per_room: UNLIMITED,
    rc_invites: { per_room: UNLIMITED, per_user: UNLIMITED, per_issuer: UNLIMITED },
    rc_room_creation: UNLIMITED,
  }
}
