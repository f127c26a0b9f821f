import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { type ConfigBeside, configBeside } from '../../src/config/config-beside.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'matrix-knock-beside-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const KEY = Buffer.alloc(32, 7).toString('base64').replace('=', '')

/** As Synapse generates it, without its comments. */
const SYNAPSE = {
  server_name: 'example.org',
  pid_file: '/data/homeserver.pid',
  listeners: [
    { port: 9000, type: 'metrics', bind_addresses: ['127.0.0.1'] },
    {
      port: 8008,
      tls: false,
      type: 'http',
      x_forwarded: true,
      bind_addresses: ['::1', '127.0.0.1'],
      resources: [{ names: ['client', 'federation'], compress: false }],
    },
  ],
  database: { name: 'sqlite3', args: { database: '/data/homeserver.db' } },
  macaroon_secret_key: 'precious',
  signing_key_path: 'example.org.signing.key',
  trusted_key_servers: [{ server_name: 'matrix.org' }],
}

/** As Dendrite generates it, in part. */
const DENDRITE = {
  version: 2,
  global: { server_name: 'example.org', private_key: 'matrix_key.pem', disable_federation: false },
  federation_api: {
    key_perspectives: [
      { server_name: 'notary.example', keys: [{ key_id: 'ed25519:auto', public_key: KEY }] },
      { server_name: 'silent.example', keys: [] },
    ],
    deny_networks: ['10.0.0.0/8'],
  },
}

async function from(kind: 'synapse' | 'dendrite', tree: object, url?: string): Promise<ConfigBeside> {
  const path = join(directory, 'homeserver.yaml')
  await writeFile(path, stringify(tree))
  return configBeside({ kind, path, ...(url !== undefined && { url }) })
}

async function configFrom(kind: 'synapse' | 'dendrite', tree: object, url?: string): Promise<Config> {
  const made = await from(kind, tree, url)
  if (!made.ok) throw new Error(made.problems.join('\n'))
  return configSchema.parse(parse(made.text))
}

/** What is wrong and what is noted, without the folder. */
async function told(kind: 'synapse' | 'dendrite', tree: object): Promise<readonly string[]> {
  const made = await from(kind, tree)
  return (made.ok ? made.notes : made.problems).map((line) => line.replace(`${directory}/`, ''))
}

describe('a configuration beside Synapse', () => {
  it('forwards to it, with its name, its key and an application service, and is the commented sample else', async () => {
    const made = await from('synapse', SYNAPSE)
    if (!made.ok) throw new Error(made.problems.join('\n'))
    const config = configSchema.parse(parse(made.text))
    expect(config).toEqual(
      configSchema.parse({
        server_name: 'example.org',
        signing_key_path: join(directory, 'example.org.signing.key'),
        store: { path: './knock.db' },
        homeserver: { handover: 'forward', url: 'http://127.0.0.1:8008', appservice: {} },
      }),
    )
    expect(made.text).toMatch(/^# Configuration of matrix-knock beside Synapse, made from .*homeserver\.yaml\.$/m)
    expect(made.text).toContain('\n  # Expected: none, inject or forward.\n  handover: forward\n')
    expect(made.text).toContain('\n  appservice:\n    listen:\n')
    expect(made.text).toContain('\n# timeouts:\n')
    expect(made.text).not.toContain('precious')
  })

  it('has its federation whitelist, and says where that shuts us out', async () => {
    const list = ['example.org', 'friend.example']
    const tree = { ...SYNAPSE, trusted_key_servers: [], federation_domain_whitelist: list }
    expect((await configFrom('synapse', tree)).federation.allow_servers).toEqual(list)
    expect(await told('synapse', tree)).toEqual([])
    const nobody = { ...tree, federation_domain_whitelist: [] }
    expect((await configFrom('synapse', nobody)).federation.allow_servers).toEqual([])
    expect(await told('synapse', nobody)).toEqual([
      expect.stringMatching(
        /^homeserver\.yaml: federation_domain_whitelist does not name example\.org itself: Synapse/,
      ),
    ])
  })

  it('has its notaries, but for those that it names without keys', async () => {
    const notary = { server_name: 'notary.example', verify_keys: { 'ed25519:auto': KEY } }
    const tree = { ...SYNAPSE, trusted_key_servers: [{ server_name: 'matrix.org' }, notary] }
    const { federation } = await configFrom('synapse', tree)
    expect(federation.trusted_key_servers.map(({ serverName }) => serverName)).toEqual(['notary.example'])
    expect(await told('synapse', tree)).toEqual([
      'homeserver.yaml: trusted_key_servers: matrix.org is named without its keys and was left out',
    ])
  })

  it.each<[string, object, string]>([
    ['every IPv4 address', { bind_addresses: ['0.0.0.0'] }, 'http://127.0.0.1:8008'],
    ['every address', { bind_addresses: ['::'] }, 'http://[::1]:8008'],
    ['one address', { bind_addresses: undefined, bind_address: '192.0.2.1' }, 'http://192.0.2.1:8008'],
    ['an address that is not said', { bind_addresses: undefined, bind_address: '' }, 'http://127.0.0.1:8008'],
    ['IPv6 loopback', { bind_addresses: ['::1'] }, 'http://[::1]:8008'],
    [
      'two lists of resources',
      { resources: [{ names: ['client'] }, { names: ['federation'] }] },
      'http://127.0.0.1:8008',
    ],
  ])('finds it at a listener on %s', async (_name, changes, url) => {
    const listeners = [
      { ...SYNAPSE.listeners[1], tls: true, port: 8448 },
      { ...SYNAPSE.listeners[1], ...changes },
    ]
    expect((await configFrom('synapse', { ...SYNAPSE, listeners })).homeserver.url).toBe(url)
  })

  it('believes the operator rather than the listeners', async () => {
    const config = await configFrom('synapse', { ...SYNAPSE, listeners: undefined }, 'http://synapse:8008')
    expect(config.homeserver.url).toBe('http://synapse:8008')
  })

  it('finds the key where Synapse looks for it, and leaves absolute paths alone', async () => {
    const silent = await configFrom('synapse', { ...SYNAPSE, signing_key_path: undefined })
    expect(silent.signing_key_path).toBe(join(directory, 'example.org.signing.key'))
    const absolute = await configFrom('synapse', { ...SYNAPSE, signing_key_path: '/data/a.key' })
    expect(absolute.signing_key_path).toBe('/data/a.key')
  })

  it.each<[string, object, string]>([
    ['no name', { server_name: undefined }, 'server_name is missing; expected the name of the homeserver'],
    ['a name that is none', { server_name: 'a b' }, 'server_name is "a b"; expected a server name'],
    [
      'a number as key',
      { signing_key_path: 1 },
      "signing_key_path is 1; expected the path of the homeserver's key file",
    ],
    [
      'no listeners',
      { listeners: undefined },
      'listeners is missing; expected a list of listeners, or give --homeserver-url',
    ],
    [
      'listeners that are none',
      { listeners: [null, 1, { type: 'http', resources: 1 }] },
      'listeners has no such; expected',
    ],
    [
      'a listener for clients alone',
      { listeners: [{ type: 'http', port: 1, resources: [{ names: ['client'] }] }] },
      'listeners has no such; expected one of type http with a port, without tls',
    ],
    [
      'a listener with TLS',
      { listeners: [{ ...SYNAPSE.listeners[1], tls: true }] },
      'listeners has such only with tls or a socket; expected one of type http',
    ],
    [
      'a socket',
      { listeners: [{ ...SYNAPSE.listeners[1], port: undefined, path: '/run/synapse' }] },
      'listeners has such only with tls or a socket; expected one of type http',
    ],
    [
      'a whitelist that is none',
      { federation_domain_whitelist: { a: 1 } },
      'federation_domain_whitelist is {"a":1}; expected a list of server names',
    ],
    [
      'a whitelist of what are no names',
      { federation_domain_whitelist: ['a b'] },
      'federation_domain_whitelist is ["a b"]; expected a list of server names',
    ],
    [
      'notaries that are none',
      { trusted_key_servers: 'a' },
      'trusted_key_servers is "a"; expected a list of key servers',
    ],
    [
      'a notary with a short key',
      { trusted_key_servers: [{ server_name: 'a.b', verify_keys: { 'ed25519:a': 'AAAA' } }] },
      'trusted_key_servers is [{"server_name":"a.b","verify_keys":{"ed25519:a":"AAAA"}}]; expected a list of key servers',
    ],
  ])('cannot be made from a file with %s, and the line names file and key', async (_name, changes, line) => {
    expect(await told('synapse', { ...SYNAPSE, trusted_key_servers: [], ...changes })).toEqual([
      expect.stringContaining(`homeserver.yaml: ${line}`),
    ])
  })

  it('cannot be made from a file that holds the key itself, and does not show it', async () => {
    const problems = await told('synapse', { ...SYNAPSE, signing_key: `ed25519 a_1 ${KEY}` })
    expect(problems).toEqual([expect.stringContaining('signing_key holds the key itself; expected signing_key_path')])
    expect(problems.join()).not.toContain(KEY)
  })

  it('tells every key that is wrong at once', async () => {
    expect(await told('synapse', { server_name: 'a.b', listeners: 1, trusted_key_servers: 1 })).toHaveLength(2)
  })
})

describe('a configuration beside Dendrite', () => {
  it('injects into it, with its name, its key, its notaries and an application service', async () => {
    expect(await configFrom('dendrite', DENDRITE)).toEqual(
      configSchema.parse({
        server_name: 'example.org',
        signing_key_path: join(directory, 'matrix_key.pem'),
        store: { path: './knock.db' },
        homeserver: { handover: 'inject', url: 'http://127.0.0.1:8008', appservice: {} },
        federation: {
          trusted_key_servers: [{ server_name: 'notary.example', verify_keys: { 'ed25519:auto': KEY } }],
        },
      }),
    )
    expect((await configFrom('dendrite', DENDRITE, 'http://[::1]:1')).homeserver.url).toBe('http://[::1]:1')
  })

  it('says what of the file cannot be used', async () => {
    const global = { ...DENDRITE.global, disable_federation: true }
    expect(await told('dendrite', { ...DENDRITE, global })).toEqual([
      expect.stringContaining('federation_api.key_perspectives: silent.example is named without its keys'),
      expect.stringContaining('global.disable_federation is true: nobody can knock'),
    ])
  })

  it.each<[string, object, readonly string[]]>([
    ["Synapse's keys", SYNAPSE, ['global.server_name is missing; expected', 'global.private_key is missing; expected']],
    [
      'a name that is none',
      { global: { ...DENDRITE.global, server_name: ':1' } },
      ['global.server_name is ":1"; expected a server name'],
    ],
    [
      'a key without a name',
      { ...DENDRITE, federation_api: { key_perspectives: [{ keys: [{ public_key: KEY }] }] } },
      ['federation_api.key_perspectives is [{"keys":['],
    ],
  ])('cannot be made from a file with %s', async (_name, tree, lines) => {
    expect(await told('dendrite', tree)).toEqual(
      lines.map((line) => expect.stringContaining(`homeserver.yaml: ${line}`)),
    )
  })
})

describe('a file', () => {
  it.each([
    ['that is not there', undefined, 'cannot be read (ENOENT); expected a YAML file'],
    ['of broken YAML', 'a: [', 'is no valid YAML'],
    ['that is a list', '- a', 'expected keys and values at the top level'],
    ['that is empty', '', 'expected keys and values at the top level'],
    ['of five megabytes', `a: ${'b'.repeat(5_000_000)}`, 'is longer than 4 MiB'],
  ])('%s is told by its name', async (_name, text, reason) => {
    const path = join(directory, 'homeserver.yaml')
    if (text !== undefined) await writeFile(path, text)
    expect(await configBeside({ kind: 'synapse', path })).toEqual({
      ok: false,
      problems: [expect.stringContaining(`${path}: ${reason}`)],
    })
  })
})
