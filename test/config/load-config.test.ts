import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ConfigResult, loadConfig } from '../../src/config/load-config.ts'
import type { Config } from '../../src/config/schema.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'matrix-knock-config-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text)
  return path
}

/** Loads one file, with the server's name added. */
async function load(yaml: string, environment: Record<string, string> = {}): Promise<ConfigResult> {
  return loadConfig([await file('config.yaml', `server_name: example.org\n${yaml}`)], environment)
}

function configOf(result: ConfigResult): Config {
  if (!result.ok) throw new Error(result.problems.join('\n'))
  return result.config
}

function problemsOf(result: ConfigResult): readonly string[] {
  return result.ok ? [] : result.problems.map((problem) => problem.replace(`${directory}/`, ''))
}

describe('what is read', () => {
  it('fills in every default', async () => {
    expect(configOf(await load(''))).toEqual({
      server_name: 'example.org',
      signing_key_path: './data/signing.key',
      old_verify_keys: new Map(),
      listen: { host: '127.0.0.1', port: 8450, trust_proxy: [] },
      admin: { host: '127.0.0.1', port: 8451, hosts: [] },
      store: {
        kind: 'sqlite',
        path: './data/knock.db',
        pool_size: 10,
        statement_timeout_seconds: 10,
        history_days: 7,
        decision_days: 90,
        refusal_megabytes: 128,
        key_days: 365,
      },
      homeserver: { template: 'own', max_state_age_seconds: 60, local_users: [] },
      federation: {
        ca_path: [],
        ip_range_allowlist: [],
        trusted_key_servers: [],
        allow_servers: null,
        deny_servers: [],
        key_denylist: [],
      },
      limits: {
        per_address: { per_second: 50, burst: 200 },
        per_user: { knocks: 10, per_seconds: 3600 },
        per_room: { knocks: 10_000, per_seconds: 3600 },
        per_server: { knocks: 3600, per_seconds: 3600 },
      },
      deliveries: { max_parallel: 32, max_waiting: 5_000_000, give_up_days: 7 },
      timeouts: { request_seconds: 25, key_lookup_seconds: 10, handover_seconds: 15, delivery_seconds: 60 },
      log: { level: 'info' },
    })
  })

  it('merges several files left to right, key by key; lists and values replace', async () => {
    const first = await file('a.yaml', 'server_name: a.example\nlisten: { port: 1, trust_proxy: [10.0.0.0/8] }')
    const second = await file('b.yaml', '{ "listen": { "host": "::1", "trust_proxy": ["192.0.2.1"] }, "admin": null }')
    const third = await file('c.yaml', '# nothing\n')
    const config = configOf(await loadConfig([first, second, third], {}))
    expect(config.server_name).toBe('a.example')
    expect(config.listen).toEqual({ host: '::1', port: 1, trust_proxy: ['192.0.2.1'] })
    expect(config.admin.port).toBe(8451)
  })

  it('lets variables override, their values read as YAML', async () => {
    const environment = {
      MATRIX_KNOCK__SERVER_NAME: 'other.example',
      MATRIX_KNOCK__LISTEN__PORT: '9000',
      MATRIX_KNOCK__FEDERATION__DENY_SERVERS: '[evil.example, "*.evil.example"]',
      MATRIX_KNOCK__LIMITS__PER_ADDRESS__BURST: '7',
      MATRIX_KNOCK__LIMITS__PER_USER: '{ knocks: 1, per_seconds: 60 }',
      MATRIX_KNOCK_SERVER_NAME: 'not.this',
    }
    const config = configOf(await load('listen: { port: 1, host: ::1 }', environment))
    expect(config.server_name).toBe('other.example')
    expect(config.listen).toMatchObject({ port: 9000, host: '::1' })
    expect(config.federation.deny_servers).toEqual(['evil.example', '*.evil.example'])
    expect(config.limits.per_address).toEqual({ per_second: 50, burst: 7 })
    expect(config.limits.per_user).toEqual({ knocks: 1, per_seconds: 60 })
    const off = configOf(
      await load('limits: { per_user: null, per_room: ~ }', { MATRIX_KNOCK__LIMITS__PER_SERVER: 'null' }),
    )
    expect(off.limits).toMatchObject({ per_user: null, per_room: null, per_server: null })
  })

  it('reads notaries, networks and keys into what the program uses', async () => {
    const key = Buffer.alloc(32, 7).toString('base64').replace('=', '')
    const { federation } = configOf(
      await load(`federation:
  trusted_key_servers: [{ server_name: notary.example, verify_keys: { "ed25519:a_1": ${key} } }]
  ip_range_allowlist: [10.0.0.0/8, "fd00::1"]
  key_denylist: ["${key}="]
  dns_servers: [127.0.0.1, "127.0.0.1:5353", "[::1]:53"]`),
    )
    const [notary] = federation.trusted_key_servers
    expect(notary?.serverName).toBe('notary.example')
    expect([...(notary?.verifyKeys ?? [])]).toEqual([['ed25519:a_1', Buffer.alloc(32, 7)]])
    expect(federation.ip_range_allowlist).toEqual([
      { address: '10.0.0.0', prefix: 8, family: 'ipv4' },
      { address: 'fd00::1', prefix: 128, family: 'ipv6' },
    ])
    expect(federation.key_denylist).toEqual([Buffer.alloc(32, 7)])
  })
})

describe('the homeserver next door', () => {
  it('is described with defaults for what is left out', async () => {
    const { homeserver } = configOf(await load('homeserver: { handover: inject, url: "http://[::1]:8008/" }'))
    expect(homeserver).toEqual({
      handover: 'inject',
      url: 'http://[::1]:8008',
      template: 'own',
      max_state_age_seconds: 60,
      local_users: [],
    })
    const { homeserver: forward } = configOf(
      await load('homeserver: { handover: forward, url: https://hs.example, template: upstream, appservice: {} }'),
    )
    expect(forward).toMatchObject({ template: 'upstream', url: 'https://hs.example' })
    expect(forward.appservice).toEqual({
      listen: { host: '127.0.0.1', port: 8452 },
      registration_path: './registration.yaml',
    })
  })

  it('is reached by variables too', async () => {
    const environment = {
      MATRIX_KNOCK__HOMESERVER__HANDOVER: 'forward',
      MATRIX_KNOCK__HOMESERVER__URL: 'http://synapse:8008',
      MATRIX_KNOCK__HOMESERVER__LOCAL_USERS: '["@alice:example.org"]',
      MATRIX_KNOCK__HOMESERVER__APPSERVICE__LISTEN__PORT: '0',
    }
    expect(configOf(await load('', environment)).homeserver).toMatchObject({
      url: 'http://synapse:8008',
      local_users: ['@alice:example.org'],
      appservice: { listen: { host: '127.0.0.1', port: 0 } },
    })
  })

  it.each<[string, string, string]>([
    ['another way', 'handover: push', 'homeserver.handover is "push"; expected none, inject or forward'],
    ['inject without url', 'handover: inject', 'homeserver.url is missing; expected http://HOST:PORT or https://HOST'],
    ['forward without url', 'handover: forward', 'homeserver.url is missing; expected http://HOST:PORT or https://'],
    [
      'a url with none',
      'handover: none, url: "http://a:1"',
      'homeserver.url is "http://a:1"; expected http://HOST:PORT or https://HOST:PORT with handover inject or forward, and no url with none',
    ],
    [
      'a template that is none',
      'handover: forward, url: "http://a:1", template: theirs',
      'homeserver.template is "theirs"; expected own, or upstream with handover forward',
    ],
    [
      "the homeserver's template with inject",
      'handover: inject, url: "http://a:1", template: upstream',
      'homeserver.template is "upstream"; expected own, or upstream with handover forward',
    ],
    [
      'no age',
      'handover: inject, url: "http://a:1", max_state_age_seconds: 0',
      'homeserver.max_state_age_seconds is 0; expected a number from 0.1 to 3600',
    ],
    [
      'a user that is none',
      'handover: inject, url: "http://a:1", local_users: [alice]',
      'homeserver.local_users.0 is "alice"; expected a list of user ids of server_name such as',
    ],
    [
      "another server's user",
      'handover: inject, url: "http://a:1", local_users: ["@a:example.org", "@b:example.com"]',
      'homeserver.local_users.1 is "@b:example.com"; expected a list of user ids of server_name',
    ],
    [
      'a port that is none',
      'handover: inject, url: "http://a:1", appservice: { listen: { port: x } }',
      'homeserver.appservice.listen.port is "x"; expected an integer from 0 to 65535',
    ],
    [
      'a registration that is no path',
      'handover: inject, url: "http://a:1", appservice: { registration_path: [] }',
      'homeserver.appservice.registration_path is []; expected a path',
    ],
    [
      'tokens in the configuration',
      'handover: inject, url: "http://a:1", appservice: { hs_token: x }',
      'homeserver.appservice.hs_token is no key of the configuration; expected one of listen, registration_path in homes',
    ],
    [
      'an unknown key',
      'handover: inject, url: "http://a:1", uri: x',
      'homeserver.uri is no key of the configuration; expected one of handover, url, template, max_state_age_seconds',
    ],
  ])('with %s, is told in one line', async (_name, keys, line) => {
    const problems = problemsOf(await load(`homeserver: { ${keys} }`))
    expect(problems).toEqual([expect.stringContaining(`config.yaml: ${line}`)])
  })

  it.each([
    ...['localhost:8008', 'ftp://a:1', 'http://', 'http://a:0', 'http://a:65536', 'http://a b', 'http://[::g]:1'],
    ...['http://a:1/path', 'http://a:1/?', 'http://a:1/#', 'http://user@a:1', 'http://a;b:1', 'http://a{b}:1'],
  ])('is not at %s', async (url) => {
    const problems = problemsOf(await load(`homeserver: { handover: forward, url: ${JSON.stringify(url)} }`))
    expect(problems).toEqual([
      expect.stringContaining(`homeserver.url is ${JSON.stringify(url)}; expected http://HOST`),
    ])
  })
})

describe('what is refused', () => {
  it.each<[string, string, string]>([
    [
      'a value of the wrong type',
      'listen: { port: abc }',
      'config.yaml: listen.port is "abc"; expected an integer from 0',
    ],
    ['a number out of range', 'admin: { port: 65536 }', 'config.yaml: admin.port is 65536; expected an integer'],
    [
      'a fraction',
      'limits: { per_address: { burst: 1.5 } }',
      'config.yaml: limits.per_address.burst is 1.5; expected an',
    ],
    ['a value for a section', 'listen: 8450', 'config.yaml: listen is 8450; expected the keys host, port, trust_proxy'],
    ['a list for a section', 'store: [a]', 'config.yaml: store is ["a"]; expected the keys kind, path'],
    [
      'an unknown section',
      'listn: {}',
      'config.yaml: listn is no key of the configuration; expected one of server_name',
    ],
    [
      'an unknown key',
      'listen: { prot: 1 }',
      'config.yaml: listen.prot is no key of the configuration; expected one of host',
    ],
    ['a key of Object', 'constructor: 1', 'config.yaml: constructor is no key of the configuration'],
    ['__proto__', '__proto__: { a: 1 }', 'config.yaml: __proto__ is no key of the configuration'],
    [
      'a network that is none',
      'listen: { trust_proxy: [10.0.0.0/33] }',
      'listen.trust_proxy.0 is "10.0.0.0/33"; expected a list',
    ],
    [
      'half of tls',
      'listen: { tls: { cert_path: a } }',
      'listen.tls.key_path is missing; expected { cert_path: FILE, key_path',
    ],
    ['another store', 'store: { kind: mariadb, host: x }', 'store.kind is "mariadb"; expected sqlite or postgres'],
    [
      'PostgreSQL without a database',
      'store: { kind: postgres }',
      'config.yaml: store.url is missing; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE',
    ],
    [
      'two ways to one database',
      'store: { kind: postgres, url: "postgres://a/b", url_path: ./url }',
      'config.yaml: store.url_path is "./url"; expected a path, and no url beside it',
    ],
    [
      'a database that is none',
      'store: { kind: postgres, url: "mysql://u:hunter2@db/knock" }',
      'config.yaml: store.url is another text (not shown: it may hold a password); expected postgres://',
    ],
    [
      'a password with a bare %',
      'store: { kind: postgres, url: "postgres://u:hunter%2@db/knock" }',
      'store.url is another text (not shown: it may hold a password); expected postgres://',
    ],
    [
      'a database under the wrong key',
      'store: ["postgres://u:hunter2/@x@db/knock"]',
      'config.yaml: store is ["postgres://u:***@db/knock"]; expected the keys kind, path',
    ],
    ['a pool of none', 'store: { pool_size: 0 }', 'store.pool_size is 0; expected an integer from 1 to 1000'],
    ['a store in memory', 'store: { kind: memory }', 'store.kind is "memory"; expected sqlite or postgres'],
    ['rooms that are read at start', 'store: { import: [a.json] }', 'store.import'],
    [
      'a short key',
      'federation: { key_denylist: [AAAA] }',
      'federation.key_denylist.0 is "AAAA"; expected a list of Ed25519',
    ],
    [
      'a notary without keys',
      'federation: { trusted_key_servers: [{ server_name: a.b }] }',
      'trusted_key_servers.0.verify_keys is',
    ],
    [
      'a notary with no key',
      'federation: { trusted_key_servers: [{ server_name: a.b, verify_keys: {} }] }',
      'verify_keys is {};',
    ],
    [
      'a DNS server that is none',
      'federation: { dns_servers: [dns.example] }',
      'dns_servers.0 is "dns.example"; expected a list',
    ],
    [
      'a list that is none',
      'federation: { ca_path: a.pem }',
      'federation.ca_path is "a.pem"; expected a list of paths',
    ],
  ])('%s, in one line that names file, key, value and what is allowed', async (_name, yaml, line) => {
    const problems = problemsOf(await load(yaml))
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(line)
  })

  it('a server name that is missing or none', async () => {
    const missing = await loadConfig([await file('config.yaml', 'log: { level: info }')], {})
    expect(problemsOf(missing)).toEqual([
      expect.stringMatching(/^config\.yaml: server_name is missing; expected a server name/),
    ])
    const wrong = await loadConfig([await file('config.yaml', 'server_name: "a b"')], {})
    expect(problemsOf(wrong)).toEqual([expect.stringMatching(/^config\.yaml: server_name is "a b"; expected/)])
  })

  it('names the source that set the value last', async () => {
    const first = await file('a.yaml', 'server_name: a.example\nlisten: { port: x }')
    const second = await file('b.yaml', 'listen: { port: y }')
    expect(problemsOf(await loadConfig([first, second], {}))).toEqual([
      expect.stringMatching(/^b\.yaml: listen\.port is "y"/),
    ])
    const environment = { MATRIX_KNOCK__LISTEN__PORT: 'z', MATRIX_KNOCK__ADMIN__PRT: '1' }
    expect(problemsOf(await loadConfig([first, second], environment))).toEqual([
      expect.stringMatching(/^environment variable MATRIX_KNOCK__LISTEN__PORT: listen\.port is "z"/),
      expect.stringMatching(/^environment variable MATRIX_KNOCK__ADMIN__PRT: admin\.prt is no key/),
    ])
  })

  it('every wrong value at once, each in its own line', async () => {
    expect(problemsOf(await load('listen: { port: a, host: 1 }\nadmin: { port: b }'))).toHaveLength(3)
  })

  it.each<[string, string, string]>([
    ['broken YAML', 'listen: {', 'is no valid YAML'],
    ['an alias that leads nowhere', 'server_name: *nowhere', 'is no valid YAML'],
    ['a key twice', 'listen: { port: 1, port: 2 }', 'is no valid YAML'],
  ])('a file with %s', async (_name, yaml, reason) => {
    const [problem] = problemsOf(await load(yaml))
    expect(problem).toMatch(/^config\.yaml: /)
    expect(problem).toContain(reason)
  })

  it('a file that is a list, or is not there', async () => {
    const list = await loadConfig([await file('list.yaml', '- a')], {})
    expect(problemsOf(list)).toEqual(['list.yaml: expected keys and values at the top level'])
    const [missing] = problemsOf(await loadConfig([join(directory, 'none.yaml')], {}))
    expect(missing).toMatch(/^none\.yaml: cannot be read \(ENOENT\).*generate-config/)
  })
})
