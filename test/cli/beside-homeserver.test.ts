import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { parseRegistration } from '../../src/config/registration-file.ts'
import { signingKeyLine } from '../support/signing.ts'
import { openWorkplace, type Workplace } from './program-fixture.ts'

const HOMESERVER = { handover: 'inject', url: 'http://127.0.0.1:8008' }
const SYNAPSE = {
  server_name: 'example.org',
  listeners: [
    { port: 8018, type: 'http', bind_addresses: ['127.0.0.1'], resources: [{ names: ['client', 'federation'] }] },
  ],
  signing_key_path: 'example.org.signing.key',
}

let work: Workplace
beforeEach(async () => {
  work = await openWorkplace()
})
afterEach(() => work.remove())

async function misused(...args: readonly string[]): Promise<string> {
  const { code, err } = await work.run(...args)
  expect(code).toBe(2)
  return err
}

describe('generate-config beside a homeserver', () => {
  const path = () => work.at('homeserver.yaml')
  beforeEach(() => writeFile(path(), stringify(SYNAPSE)))

  it("writes a configuration that names Synapse's key and address, and never over a file", async () => {
    await writeFile(work.at('example.org.signing.key'), signingKeyLine(work.identity), { mode: 0o600 })
    const args = ['generate-config', '--from-synapse', path(), '-o', work.at('config.yaml')]
    expect(await work.run(...args)).toEqual({ code: 0, out: '', err: '' })
    const written = await readFile(work.at('config.yaml'), 'utf8')
    expect(parse(written)).toMatchObject({
      signing_key_path: work.at('example.org.signing.key'),
      homeserver: { handover: 'forward', url: 'http://127.0.0.1:8018' },
    })
    expect(await work.run(...args)).toMatchObject({ code: 1, err: expect.stringContaining('--overwrite') })
    expect((await work.run(...args, '--homeserver-url', 'http://synapse:1', '--overwrite')).code).toBe(0)
    expect(await readFile(work.at('config.yaml'), 'utf8')).toBe(
      written.replace('http://127.0.0.1:8018', 'http://synapse:1'),
    )
  })

  it('writes what the other commands go on with', async () => {
    await writeFile(work.at('example.org.signing.key'), signingKeyLine(work.identity), { mode: 0o600 })
    await work.run('generate-config', '--from-synapse', path(), '-o', work.at('config.yaml'))
    const mine = { homeserver: { appservice: { registration_path: work.at('registration.yaml') } } }
    await writeFile(work.at('mine.yaml'), JSON.stringify(mine))
    const config = ['-c', work.at('config.yaml'), '-c', work.at('mine.yaml')]
    const registration = 'registration_path: .*registration.yaml cannot be read .*generate-registration'
    expect((await work.run('check-config', ...config)).err).toMatch(new RegExp(registration))
    expect((await work.run('generate-registration', ...config)).code).toBe(0)
    expect((await work.run('check-config', ...config)).err).not.toMatch(/registration|signing_key_path|store/)
    const { out } = await work.run('generate-proxy', 'nginx', ...config)
    expect(out).toContain('proxy_pass http://127.0.0.1:8018;')
  })

  it('says where the key is not, and what of the file was left out', async () => {
    await writeFile(path(), stringify({ ...SYNAPSE, trusted_key_servers: [{ server_name: 'matrix.org' }] }))
    const { code, out, err } = await work.run('generate-config', '--from-synapse', path())
    expect([code, (parse(out) as { server_name: string }).server_name]).toEqual([0, 'example.org'])
    expect(err.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^note: .*homeserver\.yaml: trusted_key_servers: matrix\.org is named without its keys/),
      expect.stringMatching(/^note: signing_key_path: .*example\.org\.signing\.key cannot be read; put the right path/),
    ])
  })

  it('reads Dendrite too', async () => {
    const global = { server_name: 'example.org', private_key: 'matrix_key.pem' }
    await writeFile(work.at('dendrite.yaml'), stringify({ version: 2, global }))
    const { code, out } = await work.run('generate-config', '--from-dendrite', work.at('dendrite.yaml'))
    expect([code, parse(out)]).toEqual([
      0,
      expect.objectContaining({
        signing_key_path: work.at('matrix_key.pem'),
        homeserver: expect.objectContaining({ handover: 'inject', url: 'http://127.0.0.1:8008' }),
      }),
    ])
  })

  it('exits with 78 for a file that tells too little, and writes nothing', async () => {
    const output = work.at('config.yaml')
    const { code, err } = await work.run('generate-config', '--from-dendrite', path(), '-o', output)
    expect([code, err.trimEnd().split('\n')]).toEqual([
      78,
      [
        expect.stringMatching(/homeserver\.yaml: global\.server_name is missing; expected/),
        expect.stringMatching(/homeserver\.yaml: global\.private_key is missing; expected/),
      ],
    ])
    await expect(stat(output)).rejects.toThrow('ENOENT')
  })

  it('cannot be told of two homeservers, of an address alone, or of none that is one', async () => {
    expect(await misused('generate-config', '--from-synapse', 'a', '--from-dendrite', 'b')).toContain(
      'cannot be used with',
    )
    expect(await misused('generate-config', '--homeserver-url', 'http://a:1')).toContain('goes with --from-synapse')
    expect(await misused('generate-config', '--from-synapse', 'a', '--homeserver-url', 'a:1')).toContain(
      'http://HOST:PORT',
    )
  })
})

describe('generate-registration', () => {
  const appservice = () => ({
    registration_path: work.at('registration.yaml'),
    listen: { host: '0.0.0.0', port: 9452 },
  })
  const configure = () => work.configure({ homeserver: { ...HOMESERVER, appservice: appservice() } })

  it('writes new tokens where the service looks for them, and the lines for the homeserver', async () => {
    const config = await configure()
    const path = work.at('registration.yaml')
    const { code, out, err } = await work.run('generate-registration', '-c', config)
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain(`app_service_config_files: ["${path}"]\n`)
    expect(out).toContain(`app_service_api: { config_files: ["${path}"] }\n`)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const text = await readFile(path, 'utf8')
    expect(parse(text)).toMatchObject({ url: 'http://127.0.0.1:9452', rate_limited: false })
    const first = parseRegistration(text)
    if (!first.ok) throw new Error(first.reason)
    const { asToken, hsToken } = first.registration
    expect([asToken, hsToken].map((token) => Buffer.from(token, 'base64url').length)).toEqual([32, 32])
    expect(out).not.toContain(asToken)
    expect(await work.run('generate-registration', '-c', config)).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('--overwrite'),
    })
    await chmod(path, 0o644)
    expect((await work.run('generate-registration', '-c', config, '--overwrite')).code).toBe(0)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const second = parseRegistration(await readFile(path, 'utf8'))
    expect(second.ok && [asToken, hsToken].includes(second.registration.hsToken)).toBe(false)
  })

  it('writes elsewhere with -o', async () => {
    const { code, out } = await work.run('generate-registration', '-c', await configure(), '-o', work.at('other.yaml'))
    expect([code, out]).toEqual([0, expect.stringContaining(`["${work.at('other.yaml')}"]`)])
    await expect(stat(work.at('registration.yaml'))).rejects.toThrow('ENOENT')
  })

  it.each<[string, object, RegExp]>([
    [
      'without an appservice section',
      {},
      /config\.yaml: homeserver\.appservice: is missing; expected a section such as/,
    ],
    [
      'for a listener on any port',
      { appservice: { listen: { port: 0 } } },
      /config\.yaml: homeserver\.appservice\.listen\.port: is 0, any free port, .*expected an integer from 1/,
    ],
  ])('exits with 78 %s', async (_name, section, line) => {
    const config = await work.configure({ homeserver: { ...HOMESERVER, ...section } })
    const { code, err } = await work.run('generate-registration', '-c', config)
    expect([code, err]).toEqual([78, expect.stringMatching(line)])
  })

  it.each(['run', 'check-config'])('%s exits with 78 and names it where there is no registration', async (command) => {
    const { code, err } = await work.run(command, '-c', await configure())
    expect([code, err]).toEqual([
      78,
      expect.stringMatching(
        /config\.yaml: homeserver\.appservice\.registration_path: .*registration\.yaml cannot be read \(ENOENT\); write it with `matrix-knock generate-registration -c/,
      ),
    ])
  })
})

describe('generate-proxy', () => {
  it('writes the fragment for the configured addresses, and never over a file', async () => {
    const config = await work.configure({ listen: { port: 9450 }, homeserver: HOMESERVER })
    const { code, out, err } = await work.run('generate-proxy', 'nginx', '-c', config)
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('proxy_pass http://127.0.0.1:9450;\n')
    const path = work.at('knock.conf')
    expect(await work.run('generate-proxy', 'nginx', '-c', config, '-o', path)).toEqual({ code: 0, out: '', err: '' })
    expect(await readFile(path, 'utf8')).toBe(out)
    await writeFile(path, 'mine')
    expect((await work.run('generate-proxy', 'caddy', '-c', config, '-o', path)).code).toBe(1)
    expect(await readFile(path, 'utf8')).toBe('mine')
    expect((await work.run('generate-proxy', 'caddy', '-c', config, '-o', path, '--overwrite')).code).toBe(0)
    expect(await readFile(path, 'utf8')).toContain('reverse_proxy 127.0.0.1:9450')
  })

  it('says what the way to the homeserver goes past, and leaves it out where that is asked for', async () => {
    const homeserver = { handover: 'forward', url: 'http://127.0.0.1:8018' }
    const federation = { deny_servers: ['bad.example'] }
    const config = await work.configure({ listen: { port: 9450 }, homeserver, federation })
    const usual = await work.run('generate-proxy', 'nginx', '-c', config)
    expect([usual.code, usual.err]).toEqual([
      0,
      expect.stringMatching(/^note: .* go to the homeserver itself, past .*federation\.deny_servers.*--no-fallback/),
    ])
    expect(usual.out).toContain('proxy_pass http://127.0.0.1:8018;')
    expect(usual.out).toContain('past its lists of')
    const without = await work.run('generate-proxy', 'nginx', '-c', config, '--no-fallback')
    expect([without.code, without.err]).toEqual([0, ''])
    expect(without.out).not.toContain('8018')
  })

  it('exits with 78 and names the key where no proxy can find the service', async () => {
    const { code, err } = await work.run('generate-proxy', 'haproxy', '-c', await work.configure())
    expect([code, err]).toEqual([78, expect.stringMatching(/config\.yaml: listen\.port: is 0, any free port/)])
  })

  it('knows four proxies', async () => {
    expect(await misused('generate-proxy', 'apache', '-c', 'x')).toContain('nginx, caddy, haproxy, traefik')
    expect(await misused('generate-proxy', '-c', 'x')).toContain('proxy')
    expect(await misused('generate-proxy', 'nginx')).toContain('--config')
  })
})
