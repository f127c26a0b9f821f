/** Knocks between two real Synapse servers with nothing of ours between them: the base line for all else. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import { KNOCKABLE_VERSIONS } from '../support/events.ts'
import type { Client } from './support/client.ts'
import { startDendrite } from './support/dendrite.ts'
import type { Homeserver } from './support/homeserver.ts'
import { startSynapse } from './support/synapse.ts'

let resident: Homeserver
let knocking: Homeserver
let dendrite: Homeserver
let moderator: Client
let people = 0

beforeAll(async () => {
  const authority = createCertificateAuthority()
  resident = await startSynapse({ authority, host: '127.0.0.2' })
  knocking = await startSynapse({ authority, host: '127.0.0.3' })
  dendrite = await startDendrite({ authority, host: '127.0.0.4' })
  moderator = await resident.register('moderator')
})

afterAll(async () => {
  await Promise.all([resident?.stop(), knocking?.stop(), dendrite?.stop()])
})

function somebody(): Promise<Client> {
  people += 1
  return knocking.register(`somebody${people}`)
}

describe('two Synapse servers', () => {
  it.each(KNOCKABLE_VERSIONS)('let a knock with a reason be seen by the moderator in version %s', async (version) => {
    const user = await somebody()
    const roomId = await moderator.createRoom({ version, joinRule: 'knock' })
    const watch = await moderator.watch()
    expect(await user.knock(roomId, resident.name, 'let me in')).toMatchObject({
      status: 200,
      body: { room_id: roomId },
    })
    const { event } = await watch.until('the knock', ({ event }) => event.state_key === user.userId, 5000)
    expect(event.content).toMatchObject({ membership: 'knock', reason: 'let me in' })
    expect((await moderator.invite(roomId, user.userId)).status).toBe(200)
    expect((await user.join(roomId, resident.name)).status).toBe(200)
    expect(await moderator.membership(roomId, user.userId)).toBe('join')
  })

  it.each(['10', '11', '12'])('let a knock in by the rule knock_restricted in version %s', async (version) => {
    const other = await moderator.createRoom({ version, joinRule: 'invite' })
    const allow = [{ type: 'm.room_membership', room_id: other }]
    const roomId = await moderator.createRoom({ version, joinRule: { join_rule: 'knock_restricted', allow } })
    const user = await somebody()
    expect((await user.knock(roomId, resident.name)).status).toBe(200)
    expect(await moderator.membership(roomId, user.userId)).toBe('knock')
  })

  it('let a user knock twice, and again after a kick', async () => {
    const user = await somebody()
    const roomId = await moderator.createRoom({ version: '11', joinRule: 'knock' })
    expect((await user.knock(roomId, resident.name)).status).toBe(200)
    expect((await user.knock(roomId, resident.name)).status).toBe(200)
    expect((await moderator.kick(roomId, user.userId)).status).toBe(200)
    expect(await moderator.membership(roomId, user.userId)).toBe('leave')
    expect((await user.knock(roomId, resident.name)).status).toBe(200)
    expect(await moderator.membership(roomId, user.userId)).toBe('knock')
  })

  it('tell nobody of a knock that its user takes back', async () => {
    const user = await somebody()
    const roomId = await moderator.createRoom({ version: '11', joinRule: 'knock' })
    const watch = await moderator.watch()
    await user.knock(roomId, resident.name)
    expect((await user.leave(roomId)).status).toBe(200)
    // What the same server sends later would come after the retraction, if that were sent.
    const witness = await somebody()
    await witness.knock(roomId, resident.name)
    await watch.until('a later knock', ({ event }) => event.state_key === witness.userId, 5000)
    expect(await moderator.membership(roomId, user.userId)).toBe('knock')
  })

  it('pass the resident’s refusal on to the client', async () => {
    const user = await somebody()
    const invitationOnly = await moderator.createRoom({ version: '11', joinRule: 'invite' })
    const forbidden = { status: 403, body: { errcode: 'M_FORBIDDEN' } }
    expect(await user.knock(invitationOnly, resident.name)).toMatchObject(forbidden)
    const banned = await moderator.createRoom({ version: '11', joinRule: 'knock' })
    await moderator.ban(banned, user.userId)
    expect(await user.knock(banned, resident.name)).toMatchObject(forbidden)
  })
})

describe('Dendrite with nothing beside it', () => {
  it('does not know the call, which the knocking Synapse passes on', async () => {
    const user = await somebody()
    const roomId = await (await dendrite.register('moderator')).createRoom({ version: '11', joinRule: 'knock' })
    const refused = { status: 404, body: { errcode: 'M_UNRECOGNIZED' } }
    expect(await user.knock(roomId, dendrite.name)).toMatchObject(refused)
  })
})
