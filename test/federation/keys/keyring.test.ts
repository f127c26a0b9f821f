import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Federation } from '../../../src/federation/federation.ts'
import type { KeyId, ServerName } from '../../../src/matrix/identifiers.ts'
import { keyObject, sendJson } from '../../support/key-server.ts'
import { base64, createIdentity, type Identity } from '../../support/signing.ts'
import { OURS, startWorld, type World } from '../key-fixture.ts'

const DAY = 86_400_000

describe('keyring', () => {
  let world: World
  let federation: Federation
  let there: ServerName
  let identity: Identity

  beforeEach(async () => {
    world = await startWorld()
    federation = world.federation()
    there = world.name('there.example.test')
    identity = createIdentity(there)
    publishes()
  })
  afterEach(() => world.close())

  /** What the machine answers as the key object of the moment. */
  const publishes = (validUntil = world.now() + 3 * DAY, oldKeys: { identity: Identity; expiredAt: number }[] = []) => {
    const object = keyObject(identity, oldKeys, validUntil)
    world.machine.answer = (_visit, response) => sendJson(response, 200, object)
  }
  const hangs = () => {
    world.machine.answer = () => {}
  }
  const breaks = () => {
    world.machine.answer = (_visit, response) => response.writeHead(502).end()
  }
  const ask = (
    use: 'request' | 'event',
    at: number,
    keyIds: string[] = [identity.keyId],
    server = there,
    wait = 5000,
  ) => federation.keyring.keysFor(server, keyIds as KeyId[], at, use, world.now() + wait, 'test')
  const asRequest = () => ask('request', world.now())
  /** A request that the keys have verified. */
  const asGoodRequest = async () => {
    const answer = await asRequest()
    federation.keyring.proved(there)
    return answer
  }
  const found = (who = identity) => ({ kind: 'keys', keys: [{ keyId: who.keyId, key: new Uint8Array(who.publicKey) }] })
  const requests = () => world.machine.visits.length

  it('C1 a key is fetched from the server that has it, and from memory after that', async () => {
    expect(await asRequest()).toMatchObject(found())
    expect(await asRequest()).toMatchObject(found())
    expect(world.machine.visits).toMatchObject([{ method: 'GET', path: '/_matrix/key/v2/server', host: there }])
  })

  it('C1 a server that lies about its name has no keys', async () => {
    identity = createIdentity('another.example.test')
    publishes()
    expect(await asRequest()).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('server_name') })
    federation.keyring.proved(there)
    expect(world.stored.size).toBe(0)
  })

  it('C2 a promise of a year is taken for seven days, in memory and in the store', async () => {
    publishes(world.now() + 365 * DAY)
    await asRequest()
    world.ahead = 7 * DAY - 5000
    expect(await asRequest()).toMatchObject(found())
    expect(requests()).toBe(1)
    federation.keyring.proved(there)
    const [key] = world.stored.get(there)?.keys ?? []
    expect((key?.validUntil ?? 0) - Date.now()).toBeLessThanOrEqual(7 * DAY)
    world.ahead = 7 * DAY + 5000
    await asRequest()
    expect(requests()).toBe(2)
  })

  it('C2 an event more than seven days ahead never verifies, and nobody is asked about it', async () => {
    expect(await ask('event', world.now() + 7 * DAY + 5000)).toEqual({ kind: 'keys', keys: [] })
    expect(requests()).toBe(0)
  })

  it('C3 an event older than expired_ts verifies with the old key, a newer one does not', async () => {
    const expiredAt = world.now() - DAY
    const retired = createIdentity(there, 'ed25519:retired')
    publishes(world.now() + DAY, [{ identity: retired, expiredAt }])
    expect(await ask('event', expiredAt, [retired.keyId])).toMatchObject(found(retired))
    expect(await ask('event', expiredAt + 1, [retired.keyId])).toEqual({ kind: 'keys', keys: [] })
    expect(await ask('request', expiredAt, [retired.keyId])).toEqual({ kind: 'keys', keys: [] })
    expect(requests()).toBe(1)
  })

  it('C3 a key that the server lists no more is gone with its next answer', async () => {
    await asRequest()
    const withdrawn = identity.keyId
    world.ahead = 31_000
    identity = createIdentity(there, 'ed25519:new')
    publishes()
    expect(await asRequest()).toMatchObject(found())
    expect(await ask('request', world.now(), [withdrawn])).toEqual({ kind: 'keys', keys: [] })
  })

  it('C4 many that ask at once cause one request', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, asRequest))
    expect(answers.every(({ kind }) => kind === 'keys')).toBe(true)
    expect(requests()).toBe(1)
  })

  it('C4 a copy that is too old causes exactly one further request', async () => {
    publishes(world.now() + 60_000)
    await asRequest()
    world.ahead = 120_000
    publishes()
    const answers = await Promise.all(Array.from({ length: 20 }, asRequest))
    expect(answers.every((answer) => answer.kind === 'keys' && answer.keys.length === 1)).toBe(true)
    expect(requests()).toBe(2)
  })

  it('C4 a server that publishes what has expired is asked once, and not again within the cool-down', async () => {
    publishes(world.now() - 1)
    for (let times = 0; times < 5; times++) expect(await asRequest()).toEqual({ kind: 'keys', keys: [] })
    expect(requests()).toBe(1)
    world.ahead = 31_000
    await asRequest()
    expect(requests()).toBe(2)
  })

  it('C4 a server that has changed its key is asked again at once', async () => {
    await asRequest()
    identity = createIdentity(there, 'ed25519:new')
    publishes()
    expect(await asRequest()).toMatchObject(found())
    expect(requests()).toBe(2)
  })

  it('C4 invented key ids cause a request each after 2, 4, 8 … seconds, and at least every 30', async () => {
    await asRequest()
    const invent = async (id: number) => {
      expect(await ask('request', world.now(), [`ed25519:x${id}`])).toEqual({ kind: 'keys', keys: [] })
      return requests() - 1
    }
    let asked = 0
    for (const seconds of [2, 4, 8, 16, 30, 30]) {
      asked++
      for (let id = 0; id < 5; id++) expect(await invent(id)).toBe(asked)
      world.ahead += seconds * 1000 + 500
    }
    expect(await asRequest()).toMatchObject(found())
    expect(requests() - 1).toBe(asked)
  })

  it('C4 a key that is known is answered although another id is unknown, which is asked for once', async () => {
    await asRequest()
    for (let times = 0; times < 5; times++) {
      expect(await ask('event', world.now(), [identity.keyId, 'ed25519:policy_server'])).toMatchObject(found())
    }
    expect(requests()).toBe(2)
  })

  it('C4 a server that stopped answering is still good for what its last answer covers', async () => {
    const at = world.now()
    await asRequest()
    world.ahead = 8 * DAY
    breaks()
    expect(await asRequest()).toMatchObject({ kind: 'unavailable' })
    expect(await ask('event', at)).toMatchObject(found())
  })

  it('our own name is answered without the network, its earlier keys for events alone', async () => {
    const old = createIdentity('x', 'ed25519:old')
    const ours = world.federation({ oldVerifyKeys: new Map([[old.keyId as KeyId, [old.publicKey]]]) })
    const keysOf = async (use: 'request' | 'event') => {
      const ids = [world.signingKey.keyId, old.keyId as KeyId, 'ed25519:other' as KeyId]
      const answer = await ours.keyring.keysFor(OURS, ids, world.now(), use, world.now(), 'test')
      return answer.kind === 'keys' ? answer.keys.map(({ keyId, old }) => `${keyId} ${old}`).sort() : []
    }
    expect(await keysOf('event')).toEqual([`${world.signingKey.keyId} false`, `${old.keyId} true`].sort())
    expect(await keysOf('request')).toEqual([`${world.signingKey.keyId} false`])
    expect(requests()).toBe(0)
  })

  it('C4 keys outlive a restart in the store', async () => {
    await asGoodRequest()
    federation = world.federation()
    breaks()
    expect(await asRequest()).toMatchObject(found())
    expect(requests()).toBe(1)
  })

  it('C4 keys that have verified nothing are not stored, whoever asks for them, however often', async () => {
    await asRequest()
    world.ahead = 4 * DAY
    publishes()
    await asRequest()
    expect(requests()).toBe(2)
    expect(world.stored.size).toBe(0)
    federation.keyring.proved(world.name('unknown.example.test'))
    expect(world.stored.size).toBe(0)
  })

  it('C4 keys that have verified something are stored once, and again whenever the server is asked', async () => {
    let writes = 0
    const write = world.store.writeServerKeys
    federation = world.federation({
      keyStore: {
        ...world.store,
        writeServerKeys(keys) {
          writes++
          return write(keys)
        },
      },
    })
    for (let times = 0; times < 3; times++) await asGoodRequest()
    expect(writes).toBe(1)
    world.ahead = 4 * DAY
    identity = createIdentity(there, 'ed25519:new')
    publishes()
    await asRequest()
    expect(writes).toBe(2)
    expect(world.stored.get(there)?.keys).toMatchObject([{ keyId: 'ed25519:new' }])
  })

  it('C4 a stored key is answered at once although another one is being asked for', async () => {
    await asGoodRequest()
    federation = world.federation()
    hangs()
    const forged = ask('request', world.now(), ['ed25519:forged'], there, 1500)
    const start = Date.now()
    expect(await asRequest()).toMatchObject(found())
    expect(Date.now() - start).toBeLessThan(1000)
    await forged
  })

  it('C4 a server that has proved itself stays one across a restart', async () => {
    await asGoodRequest()
    federation = world.federation()
    world.ahead = 4 * DAY
    identity = createIdentity(there, 'ed25519:new')
    publishes()
    await asRequest()
    expect(world.stored.get(there)?.keys).toMatchObject([{ keyId: 'ed25519:new' }])
  })

  it('C4 of a server with hundreds of keys the current and the latest retired ones are stored', async () => {
    const retired = Array.from({ length: 200 }, (_, at) => ({
      identity: { ...identity, keyId: `ed25519:r${at}` },
      expiredAt: world.now() - DAY + (at % 2 === 0 ? at : -at),
    }))
    publishes(world.now() + DAY, retired)
    await asGoodRequest()
    const ids = world.stored.get(there)?.keys.map(({ keyId }) => keyId)
    expect(ids).toEqual([identity.keyId, ...Array.from({ length: 15 }, (_, at) => `ed25519:r${198 - 2 * at}`)])
  })

  describe('in the second half of the time that keys are good', () => {
    const settled = (count: number) => vi.waitFor(() => expect(requests()).toBe(count))
    const validUntil = async () => {
      const answer = await asRequest()
      return answer.kind === 'keys' && (answer.keys[0]?.validUntil ?? 0) > world.now() + 2 * DAY
    }

    beforeEach(async () => {
      await asGoodRequest()
      world.ahead = 1.4 * DAY
      await asRequest()
      expect(requests()).toBe(1)
      world.ahead = 1.6 * DAY
    })

    it('C4 they are answered from memory and fetched again meanwhile', async () => {
      hangs()
      expect(await asRequest()).toMatchObject(found())
      await settled(2)
    })

    it('C4 they are fetched once, and are good for longer then', async () => {
      publishes()
      await Promise.all([asRequest(), asRequest()])
      await settled(2)
      await vi.waitFor(async () => expect(await validUntil()).toBe(true))
      world.ahead += 60_000
      await asRequest()
      expect(requests()).toBe(2)
    })

    it('C4 they stay good where the server is out of order, which is asked again after a pause', async () => {
      breaks()
      await asRequest()
      await settled(2)
      expect(await asRequest()).toMatchObject(found())
      expect(requests()).toBe(2)
      world.ahead += 21_000
      publishes()
      await vi.waitFor(async () => expect(await validUntil()).toBe(true))
    })

    it('C4 they are fetched again after a restart, too', async () => {
      federation = world.federation()
      expect(await asRequest()).toMatchObject(found())
      await settled(2)
    })
  })

  it('C4 keys that were fetched under a clock a year ahead are fetched again', async () => {
    world.ahead = 365 * DAY
    publishes()
    await asGoodRequest()
    world.ahead = 0
    expect(await asRequest()).toMatchObject(found())
    await vi.waitFor(() => expect(requests()).toBe(2))
  })

  it('C4 a key that was refused since it was stored is not used', async () => {
    await asGoodRequest()
    federation = world.federation({ deniedKeys: [identity.publicKey] })
    expect(await asRequest()).toMatchObject({ kind: 'unavailable' })
  })

  it('our own name is answered with the local key and never by the network', async () => {
    world.dns.zones.set(OURS, { addresses: ['127.0.0.1'] })
    const own = await ask('request', world.now(), ['ed25519:ours'], OURS)
    expect(own).toMatchObject({ kind: 'keys', keys: [{ key: world.signingKey.publicKey }] })
    expect(await ask('request', world.now(), ['ed25519:other'], OURS)).toEqual({ kind: 'keys', keys: [] })
    expect(await ask('request', world.now(), ['ed25519:ours'], 'OURS.example.test' as ServerName)).toMatchObject({
      kind: 'unavailable',
    })
    expect(world.dns.questions).toEqual([])
  })

  it('our own name is answered without the network where our key is kept from us, its earlier keys for events', async () => {
    const old = createIdentity(OURS, 'ed25519:old')
    const oldVerifyKeys = new Map([[old.keyId as KeyId, [old.publicKey]]])
    const { keyring } = world.federation({ signingKey: undefined, oldVerifyKeys })
    const asked = (use: 'request' | 'event') => {
      return keyring.keysFor(
        OURS,
        [old.keyId as KeyId, 'ed25519:ours' as KeyId],
        world.now(),
        use,
        world.now() + 500,
        'test',
      )
    }
    const reason = 'our own key is not known here (signing_key_path)'
    expect(await asked('request')).toEqual({ kind: 'unavailable', reason })
    expect(await asked('event')).toMatchObject({ kind: 'keys', keys: [{ keyId: old.keyId }] })
    publishes()
    expect(
      await keyring.keysFor(there, [identity.keyId as KeyId], world.now(), 'request', world.now() + 5_000, 'test'),
    ).toEqual(
      await world
        .federation()
        .keyring.keysFor(there, [identity.keyId as KeyId], world.now(), 'request', world.now() + 5_000, 'test'),
    )
    expect(world.dns.questions.some((question) => JSON.stringify(question).includes('ours'))).toBe(false)
  })

  it('a key server that hangs costs no more than the deadline', async () => {
    hangs()
    const start = Date.now()
    expect(await ask('request', world.now(), [identity.keyId], there, 300)).toMatchObject({ kind: 'unavailable' })
    expect(Date.now() - start).toBeLessThan(2000)
  })

  it('a server that answers again is accepted within a minute', async () => {
    breaks()
    for (let second = 0; second < 600; second++) {
      await asRequest()
      world.ahead += 1000
    }
    const tries = requests()
    expect(tries).toBeLessThan(50)
    publishes()
    let waited = 0
    while ((await asRequest()).kind === 'unavailable' && waited < 100) {
      world.ahead += 1000
      waited++
    }
    expect(waited).toBeLessThan(60)
    expect(waited).toBeGreaterThan(0)
  })

  it('a clock that was a year ahead leaves no pause behind, after failures and after answers', async () => {
    world.ahead = 365 * DAY
    breaks()
    expect(await asRequest()).toMatchObject({ kind: 'unavailable' })
    world.ahead = 0
    publishes()
    expect(await asRequest()).toMatchObject(found())
    world.ahead = 365 * DAY
    await ask('request', world.now(), ['ed25519:new'])
    world.ahead = 0
    identity = createIdentity(there, 'ed25519:new')
    publishes()
    expect(await asRequest()).toMatchObject(found())
  })

  it('a stored key in base64 is the one that was published', async () => {
    await asGoodRequest()
    const [key] = world.stored.get(there)?.keys ?? []
    expect(base64(key?.key ?? new Uint8Array())).toBe(base64(identity.publicKey))
  })
})
