/** Signed send_knock requests handed to a real Synapse as they came, by somebody who did not sign them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts'
import { KNOCKABLE_VERSIONS, type SignedEvent } from '../support/events.ts'
import type { Answer } from '../support/http-client.ts'
import { sendKnockPath } from '../support/remote-knocker.ts'
import { authorization, canonical, type JsonRecord } from '../support/signing.ts'
import type { Client } from './support/client.ts'
import type { Homeserver } from './support/homeserver.ts'
import { inject } from './support/own-requests.ts'
import { type RemoteServer, startRemoteServer } from './support/remote-server.ts'
import { openRoom, type ResidentRoom, stranger } from './support/resident-room.ts'
import { startSynapse } from './support/synapse.ts'
import { send, sendSigned } from './support/web-request.ts'

let authority: CertificateAuthority
let resident: Homeserver
let neighbour: Homeserver
let remote: RemoteServer
let people = 0

beforeAll(async () => {
  authority = createCertificateAuthority()
  resident = await startSynapse({ authority, host: '127.0.0.2' })
  neighbour = await startSynapse({ authority, host: '127.0.0.3' })
  remote = await startRemoteServer(authority, [resident, neighbour])
})

afterAll(async () => {
  await Promise.all([resident?.stop(), neighbour?.stop(), remote?.close()])
})

/** A request as it came in, to be sent on unchanged. */
interface StoredRequest {
  readonly path: string
  readonly authorization: string
  readonly body: string
}

function signedKnock(roomId: string, { eventId, pdu }: SignedEvent): StoredRequest {
  const path = sendKnockPath(roomId, eventId)
  const request = { method: 'PUT', uri: path, destination: resident.name, content: pdu }
  return { path, authorization: authorization(remote.identity, request), body: canonical(pdu) }
}

function forward({ path, authorization, body }: StoredRequest): Promise<Answer> {
  return send({ url: resident.clientUrl }, 'PUT', path, { authorization }, body)
}

/** A room with a user of a second real Synapse in it. */
async function openShared(version: (typeof KNOCKABLE_VERSIONS)[number]): Promise<ResidentRoom & { member: Client }> {
  people += 1
  const room = await openRoom(resident, remote, version)
  const member = await neighbour.register(`member${people}`)
  await room.moderator.invite(room.roomId, member.userId)
  expect((await member.join(room.roomId, resident.name)).status).toBe(200)
  return { ...room, member }
}

describe('a signed knock forwarded to Synapse', () => {
  it.each(KNOCKABLE_VERSIONS)('is accepted and reaches the other servers, version %s', async (version) => {
    const room = await openShared(version)
    const watch = await room.member.watch()
    const who = stranger(remote)
    const knock = await room.knock(who)
    const answer = await forward(signedKnock(room.roomId, knock))
    expect(answer).toMatchObject({ status: 200, body: { knock_room_state: expect.any(Array) } })
    expect(await room.buildsOn(knock)).toBe(true)
    await watch.until('the knock', ({ event }) => event.event_id === knock.eventId, 5000)
    expect(await room.moderator.membership(room.roomId, who.id)).toBe('knock')
  })

  it('is 200 again when it is forwarded again, after a kick too, where nothing changes', async () => {
    const room = await openShared('11')
    const who = stranger(remote)
    const request = signedKnock(room.roomId, await room.knock(who))
    expect((await forward(request)).status).toBe(200)
    expect((await forward(request)).status).toBe(200)
    await room.moderator.kick(room.roomId, who.id)
    expect((await forward(request)).status).toBe(200)
    expect(await room.moderator.membership(room.roomId, who.id)).toBe('leave')
  })

  it('is 403 where the user is banned, and 200 without effect where the ban is younger than the template', async () => {
    const room = await openShared('11')
    const who = stranger(remote)
    const outdated = await room.knock(who)
    await room.moderator.ban(room.roomId, who.id)
    expect(await forward(signedKnock(room.roomId, outdated))).toMatchObject({ status: 200 })
    expect(await room.buildsOn(outdated)).toBe(false)
    expect(await room.moderator.membership(room.roomId, who.id)).toBe('ban')
    const forbidden = signedKnock(room.roomId, await room.knock(who))
    expect(await forward(forbidden)).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
  })

  it('is 401 when a byte of it differs', async () => {
    const room = await openShared('11')
    const request = signedKnock(room.roomId, await room.knock(stranger(remote)))
    const changes = [
      { ...request, path: request.path.replace('%3A', ':') },
      { ...request, body: request.body.replace('may I', 'May I') },
    ]
    for (const changed of changes) {
      expect(changed).not.toEqual(request)
      expect((await forward(changed)).status).toBe(401)
    }
    expect((await forward(request)).status).toBe(200)
  })

  it('reaches nobody once it was put in by a transaction before', async () => {
    const room = await openShared('11')
    const watch = await room.member.watch()
    const knock = await room.knock(stranger(remote))
    await inject(resident, knock)
    await room.accepts(knock)
    expect((await forward(signedKnock(room.roomId, knock))).status).toBe(200)
    const later = await room.knock(stranger(remote), { prev_events: knock.pdu.prev_events ?? [] })
    expect((await forward(signedKnock(room.roomId, later))).status).toBe(200)
    await watch.until('a later knock', ({ event }) => event.event_id === later.eventId, 5000)
    expect((await watch.seen()).map(({ event }) => event.event_id)).not.toContain(knock.eventId)
  })
})

describe('a knock by the third server itself', () => {
  it('is accepted through the reverse proxy, with the template of Synapse', async () => {
    const room = await openShared('11')
    const who = stranger(remote)
    const made = await remote.makeKnock(resident, room.roomId, who)
    expect(made).toMatchObject({ status: 200, body: { room_version: '11' } })
    const knock = remote.sign(made.body.event as JsonRecord, '11')
    expect((await remote.sendKnock(resident, room.roomId, knock)).status).toBe(200)
    expect(await room.buildsOn(knock)).toBe(true)
  })
})

describe('a knock put into Synapse and sent on in its name', () => {
  it('reaches the other servers', async () => {
    const room = await openShared('11')
    const watch = await room.member.watch()
    const knock = await room.knock(stranger(remote))
    await inject(resident, knock)
    await room.accepts(knock)
    const content = { origin: resident.name, origin_server_ts: Date.now(), pdus: [knock.pdu] }
    const path = `/_matrix/federation/v1/send/${encodeURIComponent(knock.eventId)}`
    const endpoint = { url: neighbour.federationUrl, ca: authority.cert }
    const answer = await sendSigned(endpoint, resident.identity, neighbour.name, 'PUT', path, content)
    expect(answer).toMatchObject({ status: 200, body: { pdus: { [knock.eventId]: {} } } })
    await watch.until('the knock', ({ event }) => event.event_id === knock.eventId, 5000)
  })
})
