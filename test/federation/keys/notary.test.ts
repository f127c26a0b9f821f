import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Federation } from '../../../src/federation/federation.ts'
import type { TrustedKeyServer } from '../../../src/federation/keys/notary.ts'
import type { KeyId, ServerName } from '../../../src/matrix/identifiers.ts'
import { keyObject, sendJson } from '../../support/key-server.ts'
import { createIdentity, type Identity, type JsonRecord, withSignature } from '../../support/signing.ts'
import { startWorld, type World } from '../key-fixture.ts'

const DAY = 86_400_000
const QUERY = '/_matrix/key/v2/query'

describe('notary', () => {
  let world: World
  let federation: Federation
  let there: ServerName
  let identity: Identity
  let notary: Identity
  let told: JsonRecord[]
  let trusted: TrustedKeyServer[]

  beforeEach(async () => {
    world = await startWorld()
    there = world.name('there.example.test')
    identity = createIdentity(there)
    notary = createIdentity(world.name('notary.example.test'), 'ed25519:notary')
    told = []
    trusted = [
      {
        serverName: notary.name as ServerName,
        verifyKeys: new Map([[notary.keyId as KeyId, new Uint8Array(notary.publicKey)]]),
      },
    ]
    federation = world.federation({ trustedKeyServers: trusted, keyLimits: { timeoutMs: 1500 } })
    // The server itself is out of order: it hangs up. The notary tells what is set.
    world.machine.answer = ({ host, path }, response) => {
      if (host === notary.name && path === QUERY) sendJson(response, 200, { server_keys: told })
      else response.destroy()
    }
  })
  afterEach(() => world.close())

  const ask = (use: 'request' | 'event', at: number, keyId = identity.keyId) =>
    federation.keyring.keysFor(there, [keyId as KeyId], at, use, world.now() + 5000, 'test')
  const asRequest = () => ask('request', world.now())
  /** The keys that are stored once they have verified something. */
  const stored = () => {
    federation.keyring.proved(there)
    return world.stored.get(there)?.keys
  }
  const published = (validUntil = world.now() + DAY) => keyObject(identity, [], validUntil)
  const found = { kind: 'keys', keys: [{ key: expect.anything() }] }
  const queries = () => world.machine.visits.filter(({ path }) => path === QUERY)

  it('C5 a key that both the server and the notary signed is believed', async () => {
    told = [withSignature(published(), notary)]
    expect(await asRequest()).toMatchObject(found)
    expect(stored()).toHaveLength(1)
  })

  it('C5 the question names server, key and minimum_valid_until_ts', async () => {
    const at = world.now() - DAY
    await ask('event', at)
    expect(queries()).toMatchObject([{ method: 'POST' }])
    expect(JSON.parse(queries()[0]?.body ?? '')).toEqual({
      server_keys: { [there]: { [identity.keyId]: { minimum_valid_until_ts: at } } },
    })
  })

  describe('asked for a key id that it does not know', () => {
    const forged = 'ed25519:forged'
    const allOf = () => world.machine.visits.filter(({ method, host }) => method === 'GET' && host === notary.name)
    let answersNamed: boolean

    beforeEach(() => {
      answersNamed = true
      told = [withSignature(published(), notary)]
      world.machine.answer = ({ method, host, path, body }, response) => {
        if (host !== notary.name) response.destroy()
        else if (method === 'GET' && path.startsWith(`${QUERY}/`)) sendJson(response, 200, { server_keys: told })
        else if (answersNamed) sendJson(response, 200, { server_keys: body.includes(forged) ? [] : told })
      }
    })

    it('C5 is asked for all keys of the server, as valid as they are needed', async () => {
      const before = world.now()
      expect(await ask('request', before, forged)).toEqual({ kind: 'keys', keys: [] })
      const url = new URL(allOf()[0]?.path ?? '', 'https://notary.test')
      expect(url.pathname).toBe(`${QUERY}/${encodeURIComponent(there)}`)
      expect(url.searchParams.get('minimum_valid_until_ts')).toBe(String(before))
    })

    it('C5 locks nobody out: the keys that it knows are had at once', async () => {
      await ask('request', world.now(), forged)
      expect(await asRequest()).toMatchObject(found)
      expect(queries()).toHaveLength(1)
    })

    it('C5 gives those that asked meanwhile what it knows', async () => {
      const first = ask('request', world.now(), forged)
      expect(await asRequest()).toMatchObject(found)
      expect(await first).toEqual({ kind: 'keys', keys: [] })
    })

    it('C5 is asked for all keys although the first question hangs', async () => {
      answersNamed = false
      await ask('request', world.now(), forged)
      expect(await asRequest()).toMatchObject(found)
    })

    it('C5 gives what it named although the second question hangs', async () => {
      const other = createIdentity(there, 'ed25519:other')
      const both = keyObject(identity, [{ identity: other, expiredAt: world.now() - DAY }], world.now() + DAY)
      told = [withSignature(both, notary)]
      const answers = world.machine.answer
      world.machine.answer = (visit, response) => {
        if (visit.method === 'POST') answers(visit, response)
        else if (visit.host !== notary.name) response.destroy()
      }
      await ask('request', world.now(), other.keyId)
      expect(await asRequest()).toMatchObject(found)
    })

    it('C5 is not asked again where the first answer has what is needed', async () => {
      expect(await asRequest()).toMatchObject(found)
      expect(allOf()).toEqual([])
    })
  })

  it('C5 for a request, keys must be valid now', async () => {
    const before = world.now()
    await asRequest()
    const body = JSON.parse(queries()[0]?.body ?? '') as { server_keys: Record<string, Record<string, JsonRecord>> }
    const asked = Number(body.server_keys[there]?.[identity.keyId]?.minimum_valid_until_ts)
    expect(asked).toBeGreaterThanOrEqual(before)
    expect(asked).toBeLessThanOrEqual(world.now())
  })

  it.each<[string, () => JsonRecord]>([
    ['no signature by the notary', () => published()],
    [
      'a signature by another key of that id',
      () => withSignature(published(), createIdentity(notary.name, notary.keyId)),
    ],
    ['a signature by a key that was not configured', () => withSignature(published(), createIdentity(notary.name))],
    ['no signature by the server', () => withSignature({ ...published(), signatures: {} }, notary)],
    [
      'a wrong signature by the server',
      () =>
        withSignature(withSignature({ ...published(), signatures: {} }, createIdentity(there, identity.keyId)), notary),
    ],
    [
      'the keys of another server',
      () => withSignature(keyObject(createIdentity('x.test'), [], world.now() + DAY), notary),
    ],
  ])('C5 with %s it is not', async (_what, object) => {
    told = [object()]
    expect(await asRequest()).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('no usable keys') })
    expect(stored()).toBeUndefined()
  })

  it('C5 objects about others take no place away', async () => {
    const others = Array.from({ length: 10 }, (_, at) => keyObject(createIdentity(`x${at}.test`), []))
    told = [...others, withSignature(published(), notary)]
    expect(await asRequest()).toMatchObject(found)
  })

  it('C5 among several objects the unusable ones are passed over', async () => {
    told = [
      published(),
      withSignature(keyObject(createIdentity('x.test'), []), notary),
      withSignature(published(), notary),
    ]
    expect(await asRequest()).toMatchObject(found)
  })

  it('C5 what a notary tells counts for seven days at most', async () => {
    told = [withSignature(published(world.now() + 365 * DAY), notary)]
    await asRequest()
    const [key] = stored() ?? []
    expect((key?.validUntil ?? 0) - world.now()).toBeLessThanOrEqual(7 * DAY)
  })

  it('C5 an older answer of a notary takes nothing away from what the server said', async () => {
    const byNotary = world.machine.answer
    world.machine.answer = (_visit, response) => sendJson(response, 200, published(world.now() + 2 * DAY))
    await asRequest()
    world.machine.answer = byNotary
    world.ahead = 60_000
    told = [withSignature(published(world.now() - DAY), notary)]
    await ask('request', world.now(), 'ed25519:other')
    expect(queries()).toHaveLength(1)
    expect(await asRequest()).toMatchObject(found)
  })

  it('C5 in the second half of the time that keys are good it is asked for keys that are good for longer', async () => {
    const validUntil = world.now() + DAY
    told = [withSignature(published(validUntil), notary)]
    await asRequest()
    federation.keyring.proved(there)
    world.ahead = 0.6 * DAY
    expect(await asRequest()).toMatchObject(found)
    await vi.waitFor(() => expect(queries()).toHaveLength(2))
    expect(JSON.parse(queries()[1]?.body ?? '')).toEqual({
      server_keys: { [there]: { [identity.keyId]: { minimum_valid_until_ts: validUntil + 1 } } },
    })
  })

  it('C5 is not flooded with invented names, and what it could not be asked is not held against the server', async () => {
    told = [withSignature(published(), notary)]
    const patient = world.federation({ trustedKeyServers: trusted, keyLimits: { timeoutMs: 5_000 } })
    const invented = Array.from({ length: 60 }, (_, at) => world.name(`invented${at}.example.test`))
    const floods = invented.map((name) =>
      patient.keyring.keysFor(name, ['ed25519:x' as KeyId], world.now(), 'request', world.now() + 20_000, 'flood'),
    )
    // Ten at once and three a second, two questions each; how long it takes is the machine's business.
    const start = performance.now()
    const outcomes = await Promise.all(floods)
    const most = 10 + 3 * Math.ceil((performance.now() - start) / 1000)
    expect(queries().length).toBeLessThanOrEqual(most)
    expect(outcomes.filter(({ kind }) => kind === 'lacking').length).toBeGreaterThanOrEqual(60 - most)
    // Another cause has tokens of its own.
    const { keyId } = identity
    const other = patient.keyring.keysFor(
      there,
      [keyId as KeyId],
      world.now(),
      'request',
      world.now() + 20_000,
      'other',
    )
    expect(await other).toMatchObject(found)
  })

  it('C5 a server that answers is believed without the notary', async () => {
    world.machine.answer = (_visit, response) => sendJson(response, 200, published())
    expect(await asRequest()).toMatchObject(found)
    expect(queries()).toEqual([])
  })

  it('C5 a server that hangs leaves time for the notary', async () => {
    told = [withSignature(published(), notary)]
    const byNotary = world.machine.answer
    world.machine.answer = (visit, response) => {
      if (visit.host === notary.name) byNotary(visit, response)
    }
    expect(await asRequest()).toMatchObject(found)
  })
})
