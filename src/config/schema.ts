/**
 * The configuration: every key with its default, its help text and what is allowed. The sample file, the JSON schema and
 * the reference under docs/reference are generated from it. Keys that it does not name are errors.
 */
import * as z from 'zod'
import { homeserver, usersAreLocal } from './homeserver-schema.ts'
import { setting } from './setting.ts'
import {
  dnsServer,
  hostName,
  integer,
  network,
  networkText,
  oldVerifyKeys,
  postgresUrl,
  publicKey,
  serverGlob,
  serverName,
  text,
  trustedKeyServer,
} from './values.ts'

const PORT = 'an integer from 0 to 65535'
const MAX_SECONDS = 3600

const listen = z.strictObject({
  host: setting(text.default('127.0.0.1'), {
    description: 'Address of the federation listener. Plain HTTP, behind a reverse proxy.',
    allowed: 'an address or host name',
  }),
  port: setting(integer(0, 65_535).default(8450), {
    description: 'Port of the federation listener; 0 takes any free one.',
    allowed: PORT,
  }),
  trust_proxy: setting(z.array(networkText).default([]), {
    description:
      'Networks of the proxies whose X-Forwarded-For is believed. The limit per address counts only behind these.',
    allowed: 'a list of networks such as [127.0.0.1/32, 10.0.0.0/8]',
  }),
  fd: setting(integer(3, 1023).optional(), {
    description: 'A listening socket handed over by systemd instead of host and port; the first is 3.',
    allowed: 'an integer from 3 to 1023',
    example: '3',
  }),
  tls: setting(z.strictObject({ cert_path: text, key_path: text }).optional(), {
    description: 'Certificate chain and private key, PEM, for serving HTTPS without a proxy.',
    allowed: '{ cert_path: FILE, key_path: FILE }',
    example: '{ cert_path: ./data/cert.pem, key_path: ./data/key.pem }',
  }),
})

const admin = z.strictObject({
  host: setting(text.default('127.0.0.1'), {
    description: 'Address of /health, /ready and /metrics. Not for the public.',
    allowed: 'an address or host name',
  }),
  port: setting(integer(0, 65_535).default(8451), { description: 'Its port; 0 takes any free one.', allowed: PORT }),
  hosts: setting(z.array(hostName).default([]), {
    description:
      'Names by which it is reached, beside host, localhost and every address: requests with another name in their Host header are answered 403, so that no page in a browser can read it. In a container network the name of the container.',
    allowed: 'a list of host names without ports such as [matrix-knock]',
    example: '[matrix-knock]',
  }),
})

const store = z
  .strictObject({
    kind: setting(z.enum(['sqlite', 'postgres']).default('sqlite'), {
      description:
        'Where rooms, decisions, keys and deliveries are kept: a file, or a database for several processes at once.',
      allowed: 'sqlite or postgres',
    }),
    path: setting(text.default('./data/knock.db'), {
      description: 'The SQLite file; it is created in an existing directory.',
      allowed: 'a path',
    }),
    url: setting(postgresUrl.optional(), {
      description: 'The PostgreSQL database, version 14 or newer. The tables are made at start.',
      allowed: 'postgres://USER:PASSWORD@HOST:PORT/DATABASE, and no url_path beside it',
      example: 'postgres://knock@127.0.0.1:5432/knock',
      secret: true,
    }),
    url_path: setting(text.optional(), {
      description: 'A file that holds the URL instead, so that the password is not in here.',
      allowed: 'a path, and no url beside it',
      example: './data/database-url',
    }),
    pool_size: setting(integer(1, 1000).default(10), {
      description: 'Most connections to PostgreSQL at once.',
      allowed: 'an integer from 1 to 1000',
    }),
    statement_timeout_seconds: seconds(10, 'Longest time for one statement on PostgreSQL, with its waits for locks.'),
    history_days: setting(z.number().min(0.01).max(3650).default(7), {
      description:
        'How long former state and former ends of a room are kept; knocks that build on older ones are refused.',
      allowed: 'a number from 0.01 to 3650',
      example: '7',
    }),
    decision_days: setting(z.number().min(1).max(3650).default(90), {
      description:
        'How long records of decisions are kept, and accepted knocks that are over and delivered. Of refusals, the newest 100,000 at most.',
      allowed: 'a number from 1 to 3650',
      example: '90',
    }),
    refusal_megabytes: setting(integer(1, 1_000_000).default(128), {
      description:
        'Most space for records of refusals; beyond it the oldest go first. Accepted knocks are never removed for space.',
      allowed: 'an integer from 1 to 1000000',
      example: '128',
    }),
    key_days: setting(z.number().min(1).max(3650).default(365), {
      description: "How long other servers' keys are kept after they were fetched last.",
      allowed: 'a number from 1 to 3650',
      example: '365',
    }),
  })
  .superRefine(({ kind, url, url_path: path }, context) => {
    const urls = [url, path].filter((given) => given !== undefined).length
    if (kind === 'postgres' && urls !== 1) {
      context.addIssue({ code: 'custom', path: [urls === 0 ? 'url' : 'url_path'], input: path })
    }
  })

const federation = z.strictObject({
  ca_path: setting(z.array(text).default([]), {
    description: 'Files with further certificate authorities for connections to other servers, PEM.',
    allowed: 'a list of paths',
  }),
  ip_range_allowlist: setting(z.array(network).default([]), {
    description: 'Networks that may be connected to although they are private, loopback or otherwise special.',
    allowed: 'a list of networks such as [10.1.0.0/16]',
  }),
  trusted_key_servers: setting(z.array(trustedKeyServer).default([]), {
    description:
      'Notaries that are asked for keys of servers that do not answer, with the keys that they are known by.',
    allowed: 'a list of { server_name: NAME, verify_keys: { "ed25519:VERSION": BASE64 } }',
  }),
  allow_servers: setting(z.array(serverGlob).nullable().default(null), {
    description:
      'Servers that may knock, by name with * and ? as in server ACLs. An entry with a port means that port alone, one without any. null: all.',
    allowed: 'null or a list of server names and globs, without scheme, path or spaces',
  }),
  deny_servers: setting(z.array(serverGlob).default([]), {
    description: 'Servers that may not; this list wins. They get 403 before any key is fetched.',
    allowed: 'a list of server names and globs, without scheme, path or spaces',
  }),
  key_denylist: setting(z.array(publicKey).default([]), {
    description: 'Public keys that are refused wherever they appear, such as keys that have become known.',
    allowed: 'a list of Ed25519 public keys in base64',
    example: '[]',
  }),
  dns_servers: setting(z.array(dnsServer).min(1).optional(), {
    description: "Name servers for other servers' names. Default: those of the machine.",
    allowed: 'a list of IP or IP:PORT with at least one entry',
    example: '[127.0.0.1:53]',
  }),
})

const knockLimit = z.strictObject({ knocks: integer(1, 100_000), per_seconds: integer(1, 31_536_000) })

function limitPer(what: string, knocks: number) {
  return setting(knockLimit.nullable().default({ knocks, per_seconds: 3600 }), {
    description: `Most accepted knocks per ${what} in a span of time, null for any number. Beyond it knocks are answered 403.`,
    allowed: 'null or { knocks: INTEGER from 1, per_seconds: INTEGER from 1 }',
  })
}

const perAddress = z.strictObject({
  per_second: setting(integer(1, 1_000_000).default(50), {
    description: 'Requests a second and address in the long run; only for addresses that a trusted proxy reports.',
    allowed: 'an integer from 1 to 1000000',
  }),
  burst: setting(integer(1, 1_000_000).default(200), {
    description: 'Requests at once. Beyond it the answer is 429 with Retry-After.',
    allowed: 'an integer from 1 to 1000000',
  }),
})

const limits = z.strictObject({
  per_address: perAddress.prefault({}),
  // docs/decisions/0016-limits-that-are-on.md
  per_user: limitPer('user', 10),
  per_room: limitPer('room', 10_000),
  per_server: limitPer('server', 3_600),
})

const deliveries = z.strictObject({
  max_parallel: setting(integer(1, 1024).default(32), {
    description:
      'Servers that accepted knocks are sent to at a time, over one connection each. At most half of them are servers to which the last delivery failed or took long, and at most half share an address. Up to 256 more, which have not answered yet, are waited for beside them.',
    allowed: 'an integer from 1 to 1024',
    example: '32',
  }),
  max_waiting: setting(integer(1_000, 1_000_000_000).default(5_000_000), {
    description:
      'Deliveries that wait, one for each knock and server. Beyond it the oldest to servers that do not answer are dropped before give_up_days.',
    allowed: 'an integer from 1000 to 1000000000',
    example: '5000000',
  }),
  give_up_days: setting(z.number().min(0.01).max(3650).default(7), {
    description: 'Knocks that a server could not be sent for so long are dropped for it, and counted in the metrics.',
    allowed: 'a number from 0.01 to 3650',
    example: '7',
  }),
})

function seconds(fallback: number, description: string) {
  return setting(z.number().min(0.1).max(MAX_SECONDS).default(fallback), {
    description,
    allowed: `a number from 0.1 to ${MAX_SECONDS}`,
    example: String(fallback),
  })
}

const timeouts = z.strictObject({
  request_seconds: seconds(25, 'Longest time for one request. Keep it under the time-out of the proxy.'),
  key_lookup_seconds: seconds(10, "Longest wait for another server's keys."),
  handover_seconds: seconds(
    15,
    'Longest time for handing one knock over to the homeserver, proof included, or for its event template.',
  ),
  delivery_seconds: seconds(60, 'Longest time for one delivery to another server.'),
})

const log = z.strictObject({
  level: setting(z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'), {
    description: 'What is logged; info has one line per request.',
    allowed: 'fatal, error, warn, info, debug or silent',
    example: 'info',
  }),
})

const settings = z.strictObject({
  server_name: setting(serverName, {
    description: 'Name of the homeserver that this service answers for, as in its user ids.',
    allowed: 'a server name such as example.org or example.org:8448',
    sample: 'example.org',
  }),
  signing_key_path: setting(text.default('./data/signing.key'), {
    description:
      "The homeserver's signing key file, as Synapse (ed25519 a_1 SEED) or Dendrite (PEM) writes it. Must be readable by its owner alone. May be missing with homeserver.template upstream alone.",
    allowed: 'a path',
  }),
  old_verify_keys: setting(oldVerifyKeys.prefault({}), {
    description:
      'Public keys with which this server signed before, as it publishes them: rooms that are imported hold events signed with them. An id that had several keys, that of signing_key_path among them, has a list.',
    allowed: '{ "ed25519:VERSION": BASE64 or a list of them }, of any number of keys',
    example: '{}',
  }),
  listen: listen.prefault({}),
  admin: admin.prefault({}),
  store: store.prefault({}),
  homeserver: homeserver.prefault({}),
  federation: federation.prefault({}),
  limits: limits.prefault({}),
  deliveries: deliveries.prefault({}),
  timeouts: timeouts.prefault({}),
  log: log.prefault({}),
})

export const configSchema = settings.superRefine(usersAreLocal)

/** The configuration as the program uses it: every default filled in, every value read. */
export type Config = z.output<typeof configSchema>
