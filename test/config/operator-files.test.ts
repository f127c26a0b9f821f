import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Loaded, loadOperatorFiles, loadStoreUrl } from '../../src/config/operator-files.ts'
import { writeRegistration } from '../../src/config/registration-file.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { createCertificateAuthority, LOOPBACK_NAMES } from '../support/certificates.ts'
import { base64, createIdentity, signingKeyLine } from '../support/signing.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'matrix-knock-files-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const at = (name: string): string => join(directory, name)
const identity = createIdentity('example.org', 'ed25519:a_1')

const KEY = base64(createIdentity('example.org').publicKey)

async function config(changes: Record<string, unknown> = {}, mode = 0o600): Promise<Config> {
  await writeFile(at('signing.key'), signingKeyLine(identity))
  await chmod(at('signing.key'), mode)
  const usual = { server_name: 'example.org', signing_key_path: at('signing.key'), store: { path: at('knock.db') } }
  return configSchema.parse({ ...usual, ...changes })
}

async function value<Value>(loading: Promise<Loaded<Value>>): Promise<Value> {
  const loaded = await loading
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.value
}

async function problems(configured: Config): Promise<readonly string[]> {
  const loaded = await loadOperatorFiles(configured)
  return loaded.ok ? [] : loaded.problems.map(({ key, what }) => `${key}: ${what}`)
}

describe('the files that the configuration names', () => {
  it('are read, certificates one by one', async () => {
    const [one, other] = [createCertificateAuthority(), createCertificateAuthority()]
    const certificate = one.issue(LOOPBACK_NAMES)
    await writeFile(at('ca.pem'), `${one.cert}\n${other.cert}`)
    await writeFile(at('cert.pem'), certificate.cert)
    await writeFile(at('key.pem'), certificate.key)
    const tls = { cert_path: at('cert.pem'), key_path: at('key.pem') }
    const loaded = await loadOperatorFiles(await config({ federation: { ca_path: [at('ca.pem')] }, listen: { tls } }))
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    expect(Buffer.from(loaded.value.signingKey?.publicKey ?? [])).toEqual(Buffer.from(identity.publicKey))
    expect(loaded.value.caCertificates).toHaveLength(2)
    expect(loaded.value.tls).toEqual({ cert: certificate.cert, key: certificate.key })
    expect(loaded.value.warnings).toEqual([])
  })

  it('earlier keys may have had the id of the current one, and several keys one id', async () => {
    const earlier = ['ed25519:a_1', 'ed25519:a_1', 'ed25519:b'].map((keyId) => createIdentity('example.org', keyId))
    const [first, second, third] = earlier.map(({ publicKey }) => base64(publicKey))
    const configured = await config({ old_verify_keys: { 'ed25519:a_1': [first, second], 'ed25519:b': third } })
    expect(await problems(configured)).toEqual([])
    expect([...configured.old_verify_keys].map(([keyId, keys]) => [keyId, keys.length])).toEqual([
      ['ed25519:a_1', 2],
      ['ed25519:b', 1],
    ])
  })

  it.each([
    ['the current key', () => base64(identity.publicKey), /ed25519:a_1 is the key in .*signing\.key.*leave it out/],
    ['one key twice', () => [KEY, KEY], /ed25519:a_1 has the same key twice; name it once/],
    ['a key of small order', () => [KEY, base64(new Uint8Array(32))], /everybody can sign.*leave it out/],
  ])('earlier keys cannot be %s', async (_what, keys, told) => {
    const found = await problems(await config({ old_verify_keys: { 'ed25519:a_1': keys() } }))
    expect(found).toEqual([expect.stringMatching(told)])
    expect(found[0]).toMatch(/^old_verify_keys: /)
  })

  it('a key that others can read is a warning that names chmod 600', async () => {
    for (const mode of [0o640, 0o604, 0o644]) {
      const loaded = await loadOperatorFiles(await config({}, mode))
      expect(loaded.ok && loaded.value.warnings).toEqual([expect.stringContaining(`chmod 600 ${at('signing.key')}`)])
    }
  })

  it('the key may be as Dendrite writes it', async () => {
    const seed = Buffer.from(identity.seed).toString('base64')
    const pem = `-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:b\n\n${seed}\n-----END MATRIX PRIVATE KEY-----\n`
    await writeFile(at('matrix_key.pem'), pem, { mode: 0o600 })
    const loaded = await loadOperatorFiles(await config({ signing_key_path: at('matrix_key.pem') }))
    expect(loaded.ok && loaded.value.signingKey?.keyId).toBe('ed25519:b')
  })

  it("a key may be missing only where the homeserver's own template is forwarded, and that is said", async () => {
    const missing = async (homeserver: object) =>
      loadOperatorFiles(await config({ signing_key_path: at('no'), homeserver }))
    const url = 'http://127.0.0.1:8008'
    const without = await missing({ handover: 'forward', url, template: 'upstream' })
    expect(without.ok && [without.value.signingKey, without.value.warnings]).toEqual([
      undefined,
      [
        expect.stringMatching(
          /^signing_key_path: .*no cannot be read \(ENOENT\): the service runs without it and leaves/,
        ),
      ],
    ])
    for (const homeserver of [
      { handover: 'forward', url },
      { handover: 'inject', url },
      { handover: 'none' },
      { template: 'upstream' },
      {},
    ]) {
      expect(await missing(homeserver)).toMatchObject({ ok: false, problems: [{ key: 'signing_key_path' }] })
    }
    await writeFile(at('no'), 'junk')
    expect(await missing({ handover: 'forward', url, template: 'upstream' })).toMatchObject({ ok: false })
  })

  it('an application service that there is no use for without a key is told of', async () => {
    await writeFile(at('r.yaml'), writeRegistration({ url: 'http://a:1', asToken: 'as', hsToken: 'hs' }), {
      mode: 0o600,
    })
    const homeserver = { handover: 'forward', url: 'http://a:1', template: 'upstream' }
    const beside = async (key: string) => {
      const appservice = { registration_path: at('r.yaml') }
      const configured = await config({ signing_key_path: at(key), homeserver: { ...homeserver, appservice } })
      return (await value(loadOperatorFiles(configured))).warnings
    }
    expect(await beside('signing.key')).toEqual([])
    expect(await beside('no')).toEqual([
      expect.stringMatching(/^signing_key_path: /),
      expect.stringMatching(/^homeserver\.appservice: without the signing key .* leave the section out$/),
    ])
  })

  it('a missing key is told with its remedy', async () => {
    const missing = await config({ signing_key_path: at('none.key') })
    expect(await problems(missing)).toEqual([
      expect.stringMatching(/^signing_key_path: .*none\.key cannot be read \(ENOENT\).*generate-key -o/),
    ])
  })

  it('each file that cannot be used is told with its key', async () => {
    await writeFile(at('junk'), 'junk')
    const key = await config({ signing_key_path: at('junk') })
    expect(await problems(key)).toEqual([expect.stringMatching(/^signing_key_path: .*junk: .*ed25519 VERSION SEED/)])
    const authorities = await config({ federation: { ca_path: [at('junk'), at('none')] } })
    expect(await problems(authorities)).toEqual([
      expect.stringMatching(/^federation\.ca_path: .*junk holds no PEM certificate; expected/),
      expect.stringMatching(/^federation\.ca_path: .*none cannot be read/),
    ])
    const tls = await config({ listen: { tls: { cert_path: at('junk'), key_path: at('junk') } } })
    expect(await problems(tls)).toEqual([expect.stringMatching(/^listen\.tls: .*expected a certificate chain/)])
    const store = await config({ store: { path: at('none/knock.db') } })
    expect(await problems(store)).toEqual([expect.stringMatching(/^store\.path: the directory .*none does not exist/)])
  })

  it('the file that holds the URL of a database is read, and told of where others can read it', async () => {
    await writeFile(at('url'), 'postgres://knock:secret@db.example/knock\n', { mode: 0o600 })
    const given = await config({ store: { kind: 'postgres', url_path: at('url') } })
    const { url } = await value(loadStoreUrl(given))
    expect(url).toBe('postgres://knock:secret@db.example/knock')
    expect((await value(loadOperatorFiles(given))).warnings).toEqual([])
    await chmod(at('url'), 0o644)
    expect((await value(loadOperatorFiles(given))).warnings).toEqual([
      expect.stringMatching(/^store\.url_path: .*url is readable by others; mend it with `chmod 600 /),
    ])
  })

  it('the file that should hold it and does not is told of, without what it holds', async () => {
    const given = await config({ store: { kind: 'postgres', url_path: at('url') } })
    expect(await problems(given)).toEqual([expect.stringMatching(/^store\.url_path: .*url cannot be read/)])
    await writeFile(at('url'), 'host=db password=secret')
    const [line] = await problems(given)
    expect(line).toMatch(/^store\.url_path: .*url holds no URL; expected one line postgres:/)
    expect(line).not.toContain('secret')
  })
})

describe('the registration of the application service', () => {
  const url = 'http://127.0.0.1:8008'
  const TEXT = writeRegistration({ url: 'http://127.0.0.1:8452', asToken: 'as', hsToken: 'hs' })
  const beside = (changes = {}): Promise<Config> => {
    const appservice = { registration_path: at('registration.yaml') }
    return config({ homeserver: { handover: 'inject', url, appservice, ...changes } })
  }

  it('is read where there is one', async () => {
    await writeFile(at('registration.yaml'), TEXT, { mode: 0o640 })
    const loaded = await loadOperatorFiles(await beside())
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    expect(loaded.value.registration).toEqual({ id: 'matrix-knock', asToken: 'as', hsToken: 'hs' })
    expect(loaded.value.warnings).toEqual([])
    const alone = await loadOperatorFiles(await config())
    expect(alone.ok && alone.value.registration).toBeUndefined()
  })

  it.each([
    ['is not there', undefined, /registration\.yaml cannot be read \(ENOENT\)/],
    ['is not one', 'as_token: x', /registration\.yaml has no id/],
  ])('that %s is told with the command that writes it', async (_name, text, reason) => {
    if (text !== undefined) await writeFile(at('registration.yaml'), text)
    expect(await problems(await beside())).toEqual([
      expect.stringMatching(
        /^homeserver\.appservice\.registration_path: .*; write it with `matrix-knock generate-regis/,
      ),
    ])
    expect(await problems(await beside())).toEqual([expect.stringMatching(reason)])
  })

  it('that everybody can read is a warning, and one without a homeserver too', async () => {
    await writeFile(at('registration.yaml'), TEXT)
    await chmod(at('registration.yaml'), 0o644)
    const loaded = await loadOperatorFiles(await beside({ handover: 'none', url: undefined }))
    expect(loaded.ok && loaded.value.warnings).toEqual([
      expect.stringContaining(`chmod o= ${at('registration.yaml')}`),
      expect.stringMatching(/^homeserver\.appservice: with homeserver\.handover none/),
    ])
  })
})
