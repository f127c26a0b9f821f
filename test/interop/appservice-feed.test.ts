/** What real homeservers tell an application service that is interested in every room. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import type { JsonRecord } from '../support/signing.ts'
import { type Appservice, HS_TOKEN, startAppservice } from './support/appservice.ts'
import { startDendrite } from './support/dendrite.ts'
import type { Homeserver } from './support/homeserver.ts'
import { inject } from './support/own-requests.ts'
import { type RemoteServer, startRemoteServer } from './support/remote-server.ts'
import { openRoom, type ResidentRoom, stranger } from './support/resident-room.ts'
import { type KnockableVersion, versionsOf } from './support/room-versions.ts'
import { startSynapse } from './support/synapse.ts'
import { until } from './support/until.ts'

const START = { synapse: startSynapse, dendrite: startDendrite } as const

describe.each(['synapse', 'dendrite'] as const)('an application service of %s', (kind) => {
  let directory: string
  let appservice: Appservice
  let homeserver: Homeserver
  let remote: RemoteServer

  beforeAll(async () => {
    const authority = createCertificateAuthority()
    directory = await mkdtemp(join(tmpdir(), 'matrix-knock-appservice-'))
    const registrationPath = join(directory, 'registration.yaml')
    appservice = await startAppservice(registrationPath)
    homeserver = await START[kind]({ authority, host: '127.0.0.2', registrationPath })
    remote = await startRemoteServer(authority, [homeserver])
  })

  afterAll(async () => {
    await Promise.all([homeserver?.stop(), remote?.close()])
    await appservice?.close()
    await rm(directory, { recursive: true, force: true })
  })

  const open = (version: KnockableVersion = '11'): Promise<ResidentRoom> => openRoom(homeserver, remote, version)

  const isEvent =
    (eventId: unknown) =>
    ({ event_id }: JsonRecord): boolean =>
      event_id === eventId

  it.each(versionsOf(kind))('is told of a knock that was put in, version %s', async (version) => {
    const room = await open(version)
    const who = stranger(remote)
    const knock = await room.knock(who)
    await inject(homeserver, knock)
    const { event } = await appservice.until('the knock', isEvent(knock.eventId), 5000)
    const told = { type: 'm.room.member', room_id: room.roomId, sender: who.id, state_key: who.id }
    expect(event).toMatchObject({ ...told, content: { membership: 'knock' } })
  })

  it('is told of every change that decides about knocks, and of messages', async () => {
    const { roomId, moderator } = await open()
    const changes = [
      ['m.room.join_rules', '', { join_rule: 'invite' }],
      ['m.room.server_acl', '', { allow: ['*'], deny: ['elsewhere.test'], allow_ip_literals: true }],
      ['m.room.power_levels', '', { users: { [moderator.userId]: 100 }, invite: 50 }],
      ['m.room.member', stranger(remote).id, { membership: 'ban' }],
    ] as const
    for (const [type, stateKey, content] of changes) {
      const { status, body } = await moderator.setState(roomId, type, stateKey, content)
      expect(status).toBe(200)
      const { event } = await appservice.until(type, isEvent(body.event_id), 5000)
      expect(event).toMatchObject({ type, state_key: stateKey, room_id: roomId, content })
    }
    const { body } = await moderator.say(roomId, 'hello')
    await appservice.until('the message', isEvent(body.event_id), 5000)
  })

  it('gets events of clients: neither graph, nor hashes, nor signatures', async () => {
    const { roomId } = await open()
    const keys = new Set(appservice.events().flatMap(({ event }) => Object.keys(event)))
    expect(appservice.events().some(({ event }) => event.room_id === roomId)).toBe(true)
    for (const key of ['prev_events', 'auth_events', 'depth', 'hashes', 'signatures']) expect(keys).not.toContain(key)
  })

  it('is called with the token of the registration, at the paths of today', async () => {
    await open()
    const calls = appservice.requests.filter(({ method }) => method === 'PUT')
    expect(calls.length).toBeGreaterThan(0)
    for (const { path, headers } of calls) {
      expect(path).toMatch(/^\/_matrix\/app\/v1\/transactions\/\d+$/)
      expect(headers.authorization).toBe(`Bearer ${HS_TOKEN}`)
    }
  })

  it('is not told of a knock that was rejected', async () => {
    const room = await open()
    const who = stranger(remote)
    await room.moderator.ban(room.roomId, who.id)
    const knock = await room.knock(who)
    await inject(homeserver, knock)
    const witness = await room.knock(stranger(remote))
    await inject(homeserver, witness)
    await appservice.until('a later knock', isEvent(witness.eventId), 5000)
    expect(appservice.events().map(({ event }) => event.event_id)).not.toContain(knock.eventId)
  })

  const outdated =
    kind === 'synapse' ? 'is told of a knock that failed softly' : 'is not told of a knock that failed softly'
  it(`${outdated}, because a ban came after its template`, async () => {
    const room = await open()
    const who = stranger(remote)
    const knock = await room.knock(who)
    await room.moderator.ban(room.roomId, who.id)
    await inject(homeserver, knock)
    const witness = await room.knock(stranger(remote))
    await inject(homeserver, witness)
    await room.accepts(witness)
    await appservice.until('a later knock', isEvent(witness.eventId), 5000)
    const told = appservice.events().find(({ event }) => event.event_id === knock.eventId)
    expect(told !== undefined).toBe(kind === 'synapse')
    // The only thing that tells it from an accepted one.
    if (told !== undefined) expect(told.event.unsigned).toEqual({ 'io.element.synapse.soft_failed': true })
    expect(await room.buildsOn(knock)).toBe(false)
    expect(await room.moderator.membership(room.roomId, who.id)).toBe('ban')
  })

  it(`that was down gets ${kind === 'synapse' ? 'the same transaction' : 'a longer one of the same id'} again`, async () => {
    const { roomId, moderator } = await open()
    await moderator.say(roomId, 'before')
    await until(
      'nothing is under way',
      async () => {
        const before = appservice.requests.length
        await new Promise((resolve) => setTimeout(resolve, 300))
        return appservice.requests.length === before
      },
      5000,
    )
    const from = appservice.requests.length
    appservice.status = 500
    const first = (await moderator.say(roomId, 'while it is down')).body.event_id
    await appservice.until('the first attempt', isEvent(first), 5000)
    const second = (await moderator.say(roomId, 'and one more')).body.event_id
    appservice.status = 200
    await appservice.until('all that was missed', isEvent(second), 15_000)
    const attempts = appservice.requests.slice(from).map(({ path, body }) => ({
      id: path.split('/').at(-1),
      events: ((body.events ?? []) as readonly JsonRecord[]).map(({ event_id }) => event_id),
    }))
    const id = attempts[0]?.id
    if (kind === 'synapse') {
      expect(attempts).toEqual([
        { id, events: [first] },
        { id, events: [first] },
        { id: String(Number(id) + 1), events: [second] },
      ])
    } else {
      expect(attempts).toEqual([
        { id, events: [first] },
        { id, events: [first, second] },
      ])
    }
  })

  it('goes on being told after the homeserver was started again', async () => {
    const { roomId, moderator } = await open()
    await homeserver.down()
    await homeserver.up()
    const { body } = await moderator.say(roomId, 'I am back')
    await appservice.until('the message', isEvent(body.event_id), 10_000)
  })

  it(`${kind === 'synapse' ? 'can have itself called' : 'cannot have itself called'} by a ping`, async () => {
    const answer = await appservice.ping({ url: homeserver.clientUrl })
    expect(answer.status).toBe(kind === 'synapse' ? 200 : 404)
    const pings = appservice.requests.filter(({ path }) => path === '/_matrix/app/v1/ping')
    expect(pings).toHaveLength(kind === 'synapse' ? 1 : 0)
  })

  it('knows its own name by its token, and may not ask about rooms that its user is not in', async () => {
    const { roomId } = await open()
    const endpoint = { url: homeserver.clientUrl }
    const self = await appservice.call(endpoint, 'GET', '/_matrix/client/v3/account/whoami')
    expect(self).toMatchObject({ status: 200, body: { user_id: `@matrix-knock:${homeserver.name}` } })
    const room = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}`
    expect((await appservice.call(endpoint, 'GET', `${room}/joined_members`)).status).toBe(403)
    expect((await appservice.call(endpoint, 'GET', `${room}/state`)).status).toBe(403)
  })
})
