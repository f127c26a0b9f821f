/** Synapse writing the event templates itself, with the service before it: with its signing key, and without. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts'
import { KNOCKABLE_VERSIONS } from '../support/events.ts'
import type { JsonRecord } from '../support/signing.ts'
import type { Homeserver } from './support/homeserver.ts'
import { type RemoteServer, startRemoteServer } from './support/remote-server.ts'
import { openRoom, type ResidentRoom, stranger } from './support/resident-room.ts'
import { type ServiceBeside, startServiceBeside } from './support/service-beside.ts'
import { startSynapse } from './support/synapse.ts'

let authority: CertificateAuthority
let resident: Homeserver
let remote: RemoteServer

beforeAll(async () => {
  authority = createCertificateAuthority()
  resident = await startSynapse({ authority, host: '127.0.0.2' })
  remote = await startRemoteServer(authority, [resident])
})

afterAll(async () => {
  await Promise.all([resident?.stop(), remote?.close()])
})

describe.each(['upstream', 'upstream without key'] as const)('template: %s, beside Synapse', (template) => {
  let service: ServiceBeside

  beforeAll(async () => {
    service = await startServiceBeside({
      ...{ homeserver: resident, ca: authority.cert, handover: 'forward', template },
      ...{ appservice: undefined, maxStateAgeSeconds: 60 },
    })
    await resident.routeKnocksTo(service.port)
  })
  afterAll(() => service?.stop())

  async function open(version: (typeof KNOCKABLE_VERSIONS)[number] = '11', rule?: string): Promise<ResidentRoom> {
    return openRoom(resident, remote, version, rule)
  }

  it.each(KNOCKABLE_VERSIONS)('is what a knock is made of and let in with, version %s', async (version) => {
    const room = await open(version)
    for (const said of ['hello', 'and more, since the room was read']) {
      await room.moderator.say(room.roomId, said)
      const who = stranger(remote)
      const made = await remote.makeKnock(resident, room.roomId, who)
      expect(made).toMatchObject({ status: 200, body: { room_version: version } })
      // What tells them apart: Synapse writes no origin, we always do.
      expect(Object.keys(made.body.event as JsonRecord)).not.toContain('origin')
      const knock = remote.sign(made.body.event as JsonRecord, version)
      const answer = await remote.sendKnock(resident, room.roomId, knock)
      expect(answer).toMatchObject({ status: 200, body: { knock_room_state: expect.any(Array) } })
      expect(await room.buildsOn(knock)).toBe(true)
      expect(await room.moderator.membership(room.roomId, who.id)).toBe('knock')
      expect((await remote.sendKnock(resident, room.roomId, knock)).status).toBe(200)
    }
  })

  it('is refused to who is banned, and where the join rule lets nobody knock', async () => {
    const room = await open()
    const who = stranger(remote)
    await room.moderator.ban(room.roomId, who.id)
    expect((await remote.makeKnock(resident, room.roomId, who)).status).toBe(403)
    const knock = await room.knock(who)
    expect((await remote.sendKnock(resident, room.roomId, knock)).status).toBe(403)
    const closed = await open('11', 'invite')
    expect((await remote.makeKnock(resident, closed.roomId, stranger(remote))).status).toBe(403)
    expect((await remote.makeKnock(resident, '!nowhere:127.0.0.2', stranger(remote))).status).toBe(404)
  })

  it('is told by knocks list', async () => {
    const { stdout } = await service.command('knocks', 'list', '--json')
    const accepted = (JSON.parse(stdout) as readonly JsonRecord[]).filter(({ outcome }) => outcome === 'accepted')
    const left = accepted.filter(({ reason }) => String(reason).includes('the rules of the room are left'))
    expect(accepted.length).toBeGreaterThanOrEqual(2 * KNOCKABLE_VERSIONS.length)
    expect(left.length).toBe(template === 'upstream' ? 0 : accepted.length)
  })

  it('leaves nothing for doctor to find', async () => {
    const { code, stdout } = await service.command('doctor')
    expect(stdout).not.toContain('FAILED')
    expect(code).toBe(0)
  })
})
