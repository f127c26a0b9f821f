import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Federation } from '../../../src/federation/federation.ts'
import type { KeyId, ServerName } from '../../../src/matrix/identifiers.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../../support/fake-homeserver.ts'
import { answerKeys, type KeyBehaviour, keyObject, sendJson } from '../../support/key-server.ts'
import { createIdentity, type Identity } from '../../support/signing.ts'
import { startTlsServer } from '../../support/tls-server.ts'
import { startWorld, type World } from '../key-fixture.ts'

/** After which a look-up is given up. */
const LOOK_UP_MS = 800

describe('hostile key servers', () => {
  let world: World
  let federation: Federation
  let there: ServerName
  let identity: Identity

  beforeEach(async () => {
    world = await startWorld()
    federation = world.federation({
      keyLimits: { timeoutMs: LOOK_UP_MS, maxLookups: 4, maxRefreshes: 4, maxWaiting: 8 },
    })
    there = world.name('there.example.test')
    identity = createIdentity(there)
  })
  afterEach(() => world.close())

  const ask = (server: ServerName = there, keyId = identity.keyId, wait = 3000, cause = 'honest') =>
    federation.keyring.keysFor(server, [keyId as KeyId], world.now(), 'request', world.now() + wait, cause)

  it.each<[KeyBehaviour, string]>([
    ['hang', 'no answer in time'],
    ['error', 'answers 500'],
    ['wrong-name', 'server_name'],
    ['wrong-signature', 'signature'],
    ['unsigned', 'not signed'],
    ['huge', 'larger than 65536 bytes'],
    ['not-json', 'a value is expected'],
    ['redirect-to-metadata', 'answers 302'],
  ])('C1 one that answers with "%s" has no keys', async (behaviour, reason) => {
    world.machine.answer = (_visit, response) => answerKeys(behaviour, identity, [], response)
    expect(await ask()).toEqual({ kind: 'unavailable', reason: expect.stringContaining(reason) })
    federation.keyring.proved(there)
    expect(world.stored.size).toBe(0)
  })

  it('C1 one that answers byte by byte is given up', async () => {
    const timers: NodeJS.Timeout[] = []
    world.machine.answer = (_visit, response) => {
      response.writeHead(200)
      timers.push(setInterval(() => response.write(' '), 50))
    }
    expect(await ask()).toEqual({ kind: 'unavailable', reason: 'no answer in time' })
    timers.forEach(clearInterval)
  })

  it('C1 one whose certificate nobody vouches for has no keys', async () => {
    const stranger = await startTlsServer(createCertificateAuthority().issue(['*.example.test']))
    world.name('stranger.example.test')
    const answer = await ask(`stranger.example.test:${stranger.port}` as ServerName)
    expect(answer).toMatchObject({ kind: 'unavailable', reason: expect.stringMatching(/VERIFY|SELF_SIGNED/) })
    expect(stranger.visits).toEqual([])
    await stranger.close()
  })

  it('C8 a name of a private address is refused', async () => {
    world.dns.zones.set('inside.example.test', { addresses: ['169.254.169.254'] })
    const answer = await ask('inside.example.test:80' as ServerName)
    expect(answer).toEqual({ kind: 'unavailable', reason: expect.stringContaining('not permitted') })
  })

  it('C8 a delegation that redirects to 169.254.169.254 leads nowhere', async () => {
    const ports = { wellKnown: world.machine.port, federation: 1 }
    federation = world.federation({ ports })
    world.name('plain.example.test')
    world.machine.answer = (_visit, response) => response.writeHead(302, { location: 'https://169.254.169.254/' }).end()
    expect(await ask('plain.example.test' as ServerName)).toMatchObject({ kind: 'unavailable' })
    expect(world.machine.visits).toMatchObject([{ path: '/.well-known/matrix/server' }])
  })

  describe('a flood of invented names', () => {
    /** Far more names than there are slots and places to wait, all of servers that never answer. */
    const flood = async () => {
      const forged = Array.from({ length: 60 }, (_, at) =>
        ask(world.name(`forged${at}.example.test`), 'ed25519:x', 1500, `address ${at % 4}`),
      )
      // From here on every slot of unknown servers is taken.
      await vi.waitFor(() => expect(inFlood()).toHaveLength(4), 3000)
      return { ended: Promise.all(forged) }
    }
    const inFlood = () => world.machine.visits.filter(({ host }) => host?.startsWith('forged'))

    beforeEach(() => {
      world.machine.answer = ({ host }, response) => {
        if (!host?.startsWith('forged')) sendJson(response, 200, keyObject(identity, []))
      }
    })
    const timed = async () => {
      const start = Date.now()
      const answer = await ask()
      return { answer, took: Date.now() - start }
    }
    const atOnce = { answer: { kind: 'keys', keys: [{ keyId: 'ed25519:t_1' }] } }

    it('does not delay a server whose keys are in memory', async () => {
      await ask()
      const { ended } = await flood()
      const { answer, took } = await timed()
      expect({ answer }).toMatchObject(atOnce)
      expect(took).toBeLessThan(600)
      const outcomes = await ended
      expect(outcomes.some(({ kind }) => kind === 'keys')).toBe(false)
      expect((await timed()).answer).toMatchObject(atOnce.answer)
    })

    it('does not delay the refresh of a server that has proved itself', async () => {
      await ask()
      federation.keyring.proved(there)
      world.ahead = 8 * 86_400_000
      const { ended } = await flood()
      const { answer, took } = await timed()
      expect({ answer }).toMatchObject({ answer: { kind: 'keys' } })
      expect(took).toBeLessThan(1000)
      expect(world.machine.visits.filter(({ host }) => host === there)).toHaveLength(2)
      await ended
    })

    it('does not delay a server whose keys are in the store', async () => {
      await ask()
      federation.keyring.proved(there)
      federation = world.federation({ keyLimits: { timeoutMs: LOOK_UP_MS, maxLookups: 4, maxWaiting: 8 } })
      const { ended } = await flood()
      const { answer, took } = await timed()
      expect({ answer }).toMatchObject(atOnce)
      expect(took).toBeLessThan(600)
      await ended
    })

    it('holds nothing against a server that was crowded out', async () => {
      const { ended } = await flood()
      const crowded = await ask(there, identity.keyId, 300, 'address 0')
      expect(crowded).toEqual({ kind: 'lacking', reason: 'too many look-ups at once' })
      await ended
      expect(await ask(there, identity.keyId, 3000, 'address 0')).toMatchObject(atOnce.answer)
    })

    it('has a bounded number of requests under way, and a bounded number waiting', async () => {
      const { ended } = await flood()
      const outcomes = await ended
      // Four at a time, and eight that waited for them.
      expect(inFlood().length).toBeLessThanOrEqual(12)
      expect(outcomes.some(({ kind }) => kind === 'keys')).toBe(false)
    })
  })

  describe('a flood of names whose keys were had once', () => {
    let evil: Identity[]
    let evilHours: number
    let hangs: boolean

    beforeEach(async () => {
      hangs = false
      evilHours = 1
      evil = Array.from({ length: 20 }, (_, at) => createIdentity(world.name(`evil${at}.example.test`)))
      world.machine.answer = ({ host }, response) => {
        const owner = evil.find(({ name }) => name === host) ?? identity
        const hours = owner === identity ? 1 : evilHours
        if (!hangs || owner === identity) sendJson(response, 200, keyObject(owner, [], world.now() + hours * 3_600_000))
      }
    })
    const meet = async (...those: Identity[]) => {
      for (const { name, keyId } of those) {
        await ask(name as ServerName, keyId)
        federation.keyring.proved(name as ServerName)
      }
    }
    const floods = (keyId: (of: Identity) => string) =>
      Promise.all(evil.map((one, at) => ask(one.name as ServerName, keyId(one), 1500, `address ${at % 4}`)))
    const servesGood = async () => {
      const start = Date.now()
      expect(await ask()).toMatchObject({ kind: 'keys', keys: [{ keyId: identity.keyId }] })
      expect(Date.now() - start).toBeLessThan(600)
    }

    it('that have proved nothing do not delay the refresh of a server that has', async () => {
      for (const { name, keyId } of evil) await ask(name as ServerName, keyId)
      await meet(identity)
      hangs = true
      world.ahead = 3_601_000
      const ended = floods(({ keyId }) => keyId)
      await vi.waitFor(() => expect(world.machine.visits.length).toBeGreaterThan(21 + 3))
      await servesGood()
      await ended
    })

    it('and are still good do not delay the refresh of a server that is due', async () => {
      evilHours = 24
      await meet(...evil, identity)
      hangs = true
      world.ahead = 3_601_000
      const ended = floods(() => 'ed25519:x')
      await vi.waitFor(() => expect(world.machine.visits.length).toBeGreaterThan(21 + 3))
      const forged = ask(there, 'ed25519:x')
      await servesGood()
      await Promise.all([forged, ended])
    })

    it('and that hang since then do so once', async () => {
      await meet(...evil.slice(0, 4), identity)
      hangs = true
      world.ahead = 3_601_000
      await floods(({ keyId }) => keyId)
      world.ahead += 20_000
      const visits = world.machine.visits.length
      const ended = floods(({ keyId }) => keyId)
      await vi.waitFor(() => expect(world.machine.visits.length).toBeGreaterThan(visits + 3))
      await servesGood()
      await ended
    })
  })

  it('a delegation that was gone is found again within a minute after the server is back', async () => {
    federation = world.federation({ ports: { wellKnown: world.machine.port, federation: 1 } })
    world.name('plain.example.test')
    const name = 'plain.example.test' as ServerName
    for (let second = 0; second < 1800; second += 10) {
      await ask(name)
      world.ahead += 10_000
    }
    const back = createIdentity(name)
    world.machine.answer = ({ path }, response) =>
      path.startsWith('/.well-known')
        ? sendJson(response, 200, { 'm.server': there })
        : sendJson(response, 200, keyObject(back, [], world.now() + 86_400_000))
    let waited = 0
    while ((await ask(name, back.keyId)).kind === 'unavailable' && waited < 100) {
      world.ahead += 1000
      waited++
    }
    expect(waited).toBeLessThan(60)
  })

  it('C4 a server that rotates its key is believed with the new one, and with the old one for older events', async () => {
    const homeserver: FakeHomeserver = await startFakeHomeserver({ authority: world.authority })
    const name = homeserver.name as ServerName
    const before = homeserver.identity
    const sent = world.now()
    expect(await ask(name, before.keyId)).toMatchObject({ kind: 'keys', keys: [{ keyId: before.keyId }] })
    homeserver.rotate('ed25519:t_2')
    world.ahead = 60_000
    expect(await ask(name, 'ed25519:t_2')).toMatchObject({ kind: 'keys', keys: [{ keyId: 'ed25519:t_2' }] })
    expect(await ask(name, before.keyId)).toEqual({ kind: 'keys', keys: [] })
    const old = await federation.keyring.keysFor(
      name,
      [before.keyId as KeyId],
      sent,
      'event',
      world.now() + 1000,
      'test',
    )
    expect(old).toMatchObject({ kind: 'keys', keys: [{ old: true }] })
    expect(homeserver.keyRequests).toBe(2)
    await homeserver.close()
  })
})
