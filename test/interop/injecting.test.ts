/** Knocks put into rooms of real homeservers by transactions whose origin and destination are both their own name. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import type { SignedEvent } from '../support/events.ts'
import type { JsonRecord } from '../support/signing.ts'
import { startDendrite } from './support/dendrite.ts'
import type { Homeserver } from './support/homeserver.ts'
import { inject, readEvent, stateAt } from './support/own-requests.ts'
import { type RemoteServer, startRemoteServer } from './support/remote-server.ts'
import { openRoom, type ResidentRoom, stranger } from './support/resident-room.ts'
import { type KnockableVersion, versionsOf } from './support/room-versions.ts'
import { startSynapse } from './support/synapse.ts'
import { until } from './support/until.ts'

const homeservers: Partial<Record<Homeserver['kind'], Homeserver>> = {}
let remote: RemoteServer

beforeAll(async () => {
  const authority = createCertificateAuthority()
  homeservers.synapse = await startSynapse({ authority, host: '127.0.0.2' })
  homeservers.dendrite = await startDendrite({ authority, host: '127.0.0.4' })
  remote = await startRemoteServer(authority, Object.values(homeservers))
})

afterAll(async () => {
  await Promise.all([homeservers.synapse?.stop(), homeservers.dendrite?.stop(), remote?.close()])
})

/** What a transaction is answered whose events were taken in, whatever becomes of them then. */
function takenIn(...events: readonly SignedEvent[]): { status: number; body: JsonRecord } {
  return { status: 200, body: { pdus: Object.fromEntries(events.map(({ eventId }) => [eventId, {}])) } }
}

/** Events of a room are taken in one after the other: once a later good one is in, the earlier ones are decided. */
async function settle(room: ResidentRoom): Promise<void> {
  const later = await room.knock(stranger(remote))
  expect(await inject(room.homeserver, later)).toMatchObject(takenIn(later))
  await room.accepts(later)
}

/** Once the third server has a message, it has what was sent to it before. */
async function thirdServerIsUpToDate({ moderator, roomId }: ResidentRoom): Promise<void> {
  const { event_id } = (await moderator.say(roomId, 'is anybody there?')).body
  await until('the third server has the message', () => remote.receivedIds().includes(String(event_id)), 10_000)
}

describe.each(['synapse', 'dendrite'] as const)('a knock put into %s', (kind) => {
  const open = (version: KnockableVersion, rule?: string | JsonRecord): Promise<ResidentRoom> =>
    openRoom(homeservers[kind] as Homeserver, remote, version, rule)

  it.each(versionsOf(kind))(
    'is shown to the moderator, built on, and sent to nobody else, version %s',
    async (version) => {
      const room = await open(version)
      const { homeserver, roomId, moderator } = room
      const who = stranger(remote)
      const knock = await room.knock(who)
      const watch = await moderator.watch()
      expect(await inject(homeserver, knock)).toMatchObject(takenIn(knock))
      const { event } = await watch.until('the knock', ({ event }) => event.event_id === knock.eventId, 5000)
      expect(event).toMatchObject({ state_key: who.id, content: { membership: 'knock', reason: 'may I come in?' } })
      await room.accepts(knock)
      expect(await moderator.membership(roomId, who.id)).toBe('knock')
      await thirdServerIsUpToDate(room)
      expect(remote.receivedIds()).not.toContain(knock.eventId)
      // Still built on when it is no longer among the last events.
      expect(await room.buildsOn(knock)).toBe(true)
    },
  )

  const restricting = versionsOf(kind).filter((version) => Number(version) >= 10)
  it.each(restricting)('is let in by the rule knock_restricted, version %s', async (version) => {
    const allow = [{ type: 'm.room_membership', room_id: '!other:example.test' }]
    const room = await open(version, { join_rule: 'knock_restricted', allow })
    const knock = await room.knock(stranger(remote))
    await inject(room.homeserver, knock)
    await room.accepts(knock)
  })

  it('is taken in again and again without effect', async () => {
    const room = await open('11')
    const who = stranger(remote)
    const knock = await room.knock(who)
    await inject(room.homeserver, knock)
    await room.accepts(knock)
    await room.moderator.setState(room.roomId, 'm.room.member', who.id, { membership: 'leave' })
    expect(await inject(room.homeserver, knock)).toMatchObject(takenIn(knock))
    await settle(room)
    expect(await room.moderator.membership(room.roomId, who.id)).toBe('leave')
  })

  it('is answered alike where the user is banned, the rule is another or the template is out of date', async () => {
    const room = await open('11')
    const { homeserver, roomId, moderator } = room
    const [banned, barred, late] = [stranger(remote), stranger(remote), stranger(remote)]
    const outdated = await room.knock(banned)
    const tooLate = await room.knock(late)
    await moderator.ban(roomId, banned.id)
    const forbidden = await room.knock(banned)
    await moderator.setState(roomId, 'm.room.join_rules', '', { join_rule: 'invite' })
    const uninvited = await room.knock(barred)
    const refused = [outdated, tooLate, forbidden, uninvited]
    for (const knock of refused) expect(await inject(homeserver, knock)).toMatchObject(takenIn(knock))
    await moderator.setState(roomId, 'm.room.join_rules', '', { join_rule: 'knock' })
    await settle(room)
    expect(await moderator.membership(roomId, banned.id)).toBe('ban')
    expect(await moderator.membership(roomId, barred.id)).toBeUndefined()
    expect(await moderator.membership(roomId, late.id)).toBeUndefined()
    for (const knock of refused) {
      expect(await room.buildsOn(knock)).toBe(false)
      // So the event itself proves nothing.
      expect((await readEvent(homeserver, knock.eventId)).status).toBe(200)
    }
    // Nor does the state at it: one that failed softly is in the state after itself.
    const at = await stateAt(homeserver, 'state_ids', roomId, outdated.eventId)
    expect((at.body.pdu_ids as readonly string[]).includes(outdated.eventId)).toBe(kind === 'dendrite')
  })

  it('is dropped where its last events are unknown or its room is, and refused where its signature is wrong', async () => {
    const room = await open('11')
    const { homeserver } = room
    const adrift = await room.knock(stranger(remote), { prev_events: [`$${'A'.repeat(43)}`] })
    expect(await inject(homeserver, adrift)).toMatchObject(takenIn(adrift))
    const elsewhere = await room.knock(stranger(remote), { room_id: `!unknown:${homeserver.name}` })
    expect(await inject(homeserver, elsewhere)).toMatchObject({ status: 200, body: { pdus: {} } })
    const good = await room.knock(stranger(remote))
    const other = await room.knock(stranger(remote))
    const forged = { eventId: good.eventId, pdu: { ...good.pdu, signatures: other.pdu.signatures ?? {} } }
    const answer = await inject(homeserver, forged)
    expect(answer.body.pdus).toEqual({ [good.eventId]: { error: expect.any(String) } })
    await settle(room)
    for (const knock of [adrift, elsewhere, good]) expect(await room.buildsOn(knock)).toBe(false)
  })

  it('is accepted although the room’s server ACL denies the knocking server', async () => {
    const room = await open('11')
    const acl = { allow: ['*'], deny: ['127.0.0.1'], allow_ip_literals: true }
    expect((await room.moderator.setState(room.roomId, 'm.room.server_acl', '', acl)).status).toBe(200)
    const knock = await room.knock(stranger(remote))
    await inject(room.homeserver, knock)
    await room.accepts(knock)
  })

  it('can follow a rejection, a ban that was lifted, and a retraction by its own server', async () => {
    const room = await open('11')
    const { homeserver, roomId, moderator } = room
    const who = stranger(remote)
    const knockAgain = async (): Promise<void> => {
      const knock = await room.knock(who)
      await inject(homeserver, knock)
      await room.accepts(knock)
      expect(await moderator.membership(roomId, who.id)).toBe('knock')
    }
    await knockAgain()
    await knockAgain()
    const kicked = await moderator.kick(roomId, who.id)
    expect(kicked.status).toBe(kind === 'synapse' ? 200 : 403)
    if (kind === 'dendrite') await moderator.setState(roomId, 'm.room.member', who.id, { membership: 'leave' })
    expect(await moderator.membership(roomId, who.id)).toBe('leave')
    await knockAgain()
    await moderator.ban(roomId, who.id)
    await moderator.unban(roomId, who.id)
    await knockAgain()
    await remote.leave(homeserver, roomId, who)
    await until('the retraction shows', async () => (await moderator.membership(roomId, who.id)) === 'leave', 5000)
    await knockAgain()
  })

  it('can be accepted by an invitation, which its server gets, and the user joins', async () => {
    const room = await open('11')
    const { homeserver, roomId, moderator } = room
    const who = stranger(remote)
    const knock = await room.knock(who)
    await inject(homeserver, knock)
    await room.accepts(knock)
    expect((await moderator.invite(roomId, who.id)).status).toBe(200)
    const isTheirs = ({ state_key }: JsonRecord): boolean => state_key === who.id
    await until('the invitation arrives', () => remote.invites.some(isTheirs), 10_000)
    await remote.join(homeserver, roomId, who)
    await until('the join shows', async () => (await moderator.membership(roomId, who.id)) === 'join', 5000)
  })

  it(`${kind === 'synapse' ? 'is refused with 429' : 'goes in'} while another transaction is under way`, async () => {
    const room = await open('11')
    const knocks = await Promise.all(Array.from({ length: 8 }, () => room.knock(stranger(remote))))
    const answers = await Promise.all(knocks.map((knock) => inject(room.homeserver, knock)))
    const statuses = answers.map(({ status }) => status)
    if (kind === 'synapse') expect(statuses).toContain(429)
    else expect(new Set(statuses)).toEqual(new Set([200]))
    for (const [index, knock] of knocks.entries()) if (statuses[index] === 200) await room.accepts(knock)
  })
})

describe('the third server’s complaints', () => {
  it('are none', () => {
    expect(remote.homeserver.complaints).toEqual([])
  })
})
