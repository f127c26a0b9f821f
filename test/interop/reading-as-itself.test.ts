/** What real homeservers tell themselves: requests whose origin and destination are both their own name. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import { contentHashOf, finishEvent, idOf, KNOCKABLE_VERSIONS, type SignedEvent } from '../support/events.ts'
import type { JsonRecord } from '../support/signing.ts'
import { startDendrite } from './support/dendrite.ts'
import type { Homeserver } from './support/homeserver.ts'
import {
  asItself,
  inject,
  lastEvents,
  makeJoin,
  makeLeave,
  readEvent,
  readRoom,
  stateAt,
} from './support/own-requests.ts'
import { type RemoteServer, startRemoteServer } from './support/remote-server.ts'
import { openRoom, type ResidentRoom, stranger } from './support/resident-room.ts'
import { type KnockableVersion, versionsOf } from './support/room-versions.ts'
import { startSynapse } from './support/synapse.ts'

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

function open(kind: Homeserver['kind'], version: KnockableVersion): Promise<ResidentRoom> {
  return openRoom(homeservers[kind] as Homeserver, remote, version)
}

function pdusOf(body: JsonRecord): readonly JsonRecord[] {
  return body.pdus as readonly JsonRecord[]
}

describe.each(['synapse', 'dendrite'] as const)('%s, asked by itself', (kind) => {
  it.each(versionsOf(kind))('tells all that a knock needs in a room of version %s', async (version) => {
    const { homeserver, roomId, moderator } = await open(kind, version)
    const left = await makeLeave(homeserver, roomId, moderator.userId)
    const joined = await makeJoin(homeserver, roomId, moderator.userId)
    const template = { prev_events: [expect.any(String)], depth: expect.any(Number), auth_events: expect.any(Array) }
    expect(left).toMatchObject({ status: 200, body: { room_version: version, event: template } })
    expect(joined).toMatchObject({ status: 200, body: { room_version: version, event: template } })
    const { state, depth, prevEvents } = await readRoom(homeserver, roomId, moderator.userId)
    const slots = version === '12' ? [] : [state('m.room.create')]
    slots.push(state('m.room.power_levels'), state('m.room.join_rules'), state('m.room.member', moderator.userId))
    const { auth_events } = joined.body.event as { auth_events: readonly string[] }
    expect([...auth_events].sort()).toEqual(slots.map((event) => event?.eventId).sort())
    const tip = pdusOf((await readEvent(homeserver, prevEvents[0] ?? '')).body)[0]
    expect(depth).toBe(Number(tip?.depth) + 1)
  })

  it.each(versionsOf(kind))('gives whole PDUs whose ids and hashes hold, version %s', async (version) => {
    const { homeserver, roomId, moderator } = await open(kind, version)
    const [tip = ''] = await lastEvents(homeserver, roomId, moderator.userId)
    const ids = (await stateAt(homeserver, 'state_ids', roomId, tip)).body
    const { body, status } = await stateAt(homeserver, 'state', roomId, tip)
    expect(status).toBe(200)
    expect(
      pdusOf(body)
        .map((pdu) => idOf(pdu, version))
        .sort(),
    ).toEqual([...(ids.pdu_ids as string[])].sort())
    const chain = body.auth_chain as readonly JsonRecord[]
    expect(chain.map((pdu) => idOf(pdu, version)).sort()).toEqual([...(ids.auth_chain_ids as string[])].sort())
    for (const pdu of [...pdusOf(body), ...chain]) expect(pdu.hashes).toEqual({ sha256: contentHashOf(pdu) })
    const keys = new Set(pdusOf(body).flatMap((pdu) => Object.keys(pdu)))
    expect(keys.has('unsigned')).toBe(kind === 'synapse')
    expect(keys.has('origin')).toBe(kind === 'dendrite')
  })

  it('offers the versions of rooms that these tests expect of it', async () => {
    const { moderator } = await open(kind, '11')
    const { body } = await moderator.call('GET', '/_matrix/client/v3/capabilities')
    const { available } = (body.capabilities as JsonRecord)['m.room_versions'] as { available: JsonRecord }
    const offered = KNOCKABLE_VERSIONS.filter((version) => version in available)
    expect(offered).toEqual(versionsOf(kind))
    for (const version of KNOCKABLE_VERSIONS.filter((known) => !offered.includes(known))) {
      const created = moderator.createRoom({ version, joinRule: 'knock' })
      await expect(created).rejects.toThrow('M_UNSUPPORTED_ROOM_VERSION')
    }
  })

  it(`gives the state ${kind === 'synapse' ? 'before' : 'after'} the event that is named`, async () => {
    const { homeserver, roomId, moderator, third } = await open(kind, '11')
    // The last event is the third server's join.
    const [tip = ''] = await lastEvents(homeserver, roomId, moderator.userId)
    const pdus = pdusOf((await stateAt(homeserver, 'state', roomId, tip)).body)
    const member = pdus.find(({ type, state_key }) => type === 'm.room.member' && state_key === third.id)
    expect(member?.content).toMatchObject({ membership: kind === 'synapse' ? 'invite' : 'join' })
  })

  it('names several last events, each with the state of its own branch, and authorises by the resolved state', async () => {
    const room = await open(kind, '11')
    const { homeserver, roomId, moderator } = room
    const [closed, opened] = await forkJoinRules(room)
    const joined = (await makeJoin(homeserver, roomId, moderator.userId)).body.event as JsonRecord
    expect([...(joined.prev_events as string[])].sort()).toEqual([closed.eventId, opened.eventId].sort())
    const rules = await moderator.call('GET', `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state`)
    const resolved = (JSON.parse(rules.text) as JsonRecord[]).find(({ type }) => type === 'm.room.join_rules')
    expect(joined.auth_events).toContain(resolved?.event_id)
    for (const event of [closed, opened]) {
      const ids = (await stateAt(homeserver, 'state_ids', roomId, event.eventId)).body.pdu_ids as string[]
      expect(ids.includes(event.eventId)).toBe(kind === 'dendrite')
    }
  })

  it(`names at most ${kind === 'synapse' ? 10 : 20} last events`, async () => {
    const room = await open(kind, '11')
    const { homeserver, roomId, moderator } = room
    const knocks: SignedEvent[] = []
    for (let count = 0; count < 25; count++) knocks.push(await room.knock(stranger(remote)))
    await inject(homeserver, ...knocks)
    const last = knocks.at(-1)?.pdu.sender as string
    await expect.poll(() => moderator.membership(roomId, last), { timeout: 10_000 }).toBe('knock')
    const named = await lastEvents(homeserver, roomId, moderator.userId)
    expect(named).toHaveLength(kind === 'synapse' ? 10 : 20)
  })

  it(`writes a join of a joined user for a restricted room${kind === 'synapse' ? '' : ' only if it sees the other room'}`, async () => {
    const { homeserver, roomId, moderator } = await open(kind, '11')
    const own = await moderator.createRoom({ version: '11', joinRule: 'invite' })
    const statuses: number[] = []
    for (const other of [own, '!elsewhere:example.test']) {
      const rule = { join_rule: 'knock_restricted', allow: [{ type: 'm.room_membership', room_id: other }] }
      await moderator.setState(roomId, 'm.room.join_rules', '', rule)
      statuses.push((await makeJoin(homeserver, roomId, moderator.userId)).status)
      expect((await makeLeave(homeserver, roomId, moderator.userId)).status).toBe(200)
    }
    expect(statuses).toEqual(kind === 'synapse' ? [200, 200] : [200, 400])
  })

  it(`refuses ${kind === 'synapse' ? 'both templates' : 'a join, and not a leave,'} for a local name that is not in the room`, async () => {
    const { homeserver, roomId, moderator } = await open(kind, '11')
    const nobody = `@nobody:${homeserver.name}`
    expect((await makeJoin(homeserver, roomId, nobody)).status).toBe(403)
    expect((await makeLeave(homeserver, roomId, stranger(remote).id)).status).toBe(403)
    const left = await makeLeave(homeserver, roomId, nobody)
    // Dendrite writes a leave for any local name, and so tells the last events without a user in the room.
    expect(left.status).toBe(kind === 'synapse' ? 403 : 200)
    const named = kind === 'synapse' ? undefined : await lastEvents(homeserver, roomId, moderator.userId)
    expect((left.body.event as JsonRecord | undefined)?.prev_events).toEqual(named)
  })

  it('answers for a room that its users have left as for one that it may not show', async () => {
    const { homeserver, roomId, moderator } = await open(kind, '11')
    const [tip = ''] = await lastEvents(homeserver, roomId, moderator.userId)
    await moderator.leave(roomId)
    const statuses = [
      (await makeLeave(homeserver, roomId, moderator.userId)).status,
      (await makeJoin(homeserver, roomId, moderator.userId)).status,
      (await stateAt(homeserver, 'state', roomId, tip)).status,
      (await stateAt(homeserver, 'state_ids', roomId, tip)).status,
      (await readEvent(homeserver, tip)).status,
    ]
    expect(statuses).toEqual(kind === 'synapse' ? [403, 404, 403, 403, 403] : [404, 404, 404, 404, 200])
  })

  it('answers for a room and an event that it does not know', async () => {
    const { homeserver, roomId, moderator } = await open(kind, '11')
    const [tip = ''] = await lastEvents(homeserver, roomId, moderator.userId)
    const unknown = `!unknown:${homeserver.name}`
    const statuses = [
      (await makeLeave(homeserver, unknown, moderator.userId)).status,
      (await makeJoin(homeserver, unknown, moderator.userId)).status,
      (await stateAt(homeserver, 'state', unknown, tip)).status,
      (await stateAt(homeserver, 'state_ids', unknown, tip)).status,
      (await stateAt(homeserver, 'state', roomId, '$unknown')).status,
      (await readEvent(homeserver, '$unknown')).status,
    ]
    expect(statuses).toEqual(kind === 'synapse' ? [404, 404, 403, 403, 404, 404] : [500, 500, 404, 404, 404, 404])
  })

  it('tells by backfill whether it knows a room', async () => {
    const { homeserver, roomId } = await open(kind, '11')
    const noEvent = `$${'A'.repeat(43)}`
    const statuses: number[] = []
    for (const room of [`!unknown:${homeserver.name}`, roomId]) {
      const query = `v=${encodeURIComponent(noEvent)}&limit=1`
      statuses.push((await asItself(homeserver, 'GET', `/backfill/${encodeURIComponent(room)}?${query}`)).status)
    }
    expect(statuses).toEqual(kind === 'synapse' ? [403, 200] : [404, 200])
  })

  it(`${kind === 'synapse' ? 'answers' : 'refuses'} itself by a server ACL that does not speak of IP literals`, async () => {
    const { homeserver, roomId, moderator } = await open(kind, '11')
    await moderator.setState(roomId, 'm.room.server_acl', '', { allow: ['*'], deny: [] })
    const { status } = await makeLeave(homeserver, roomId, moderator.userId)
    expect(status).toBe(kind === 'synapse' ? 200 : 403)
  })

  it(`${kind === 'synapse' ? 'names' : 'does not name'} the last event before a time without a local user`, async () => {
    const { homeserver, roomId, moderator } = await open(kind, '11')
    const path = `/timestamp_to_event/${encodeURIComponent(roomId)}?ts=${Date.now() + 60_000}&dir=b`
    const { status, body } = await asItself(homeserver, 'GET', path)
    expect(status).toBe(kind === 'synapse' ? 200 : 404)
    const last = await lastEvents(homeserver, roomId, moderator.userId)
    if (kind === 'synapse') expect(last).toEqual([body.event_id])
  })
})

/** Two join rules that the moderator sets on two branches at once: what several processes of a homeserver can do. */
async function forkJoinRules({
  homeserver,
  roomId,
  moderator,
  version,
  accepts,
}: ResidentRoom): Promise<[SignedEvent, SignedEvent]> {
  const { state, prevEvents, depth } = await readRoom(homeserver, roomId, moderator.userId)
  const authority = [state('m.room.create'), state('m.room.power_levels'), state('m.room.member', moderator.userId)]
  const rule = (joinRule: string): SignedEvent => {
    const draft = {
      type: 'm.room.join_rules',
      room_id: roomId,
      sender: moderator.userId,
      state_key: '',
      content: { join_rule: joinRule },
      origin_server_ts: Date.now(),
      depth,
      prev_events: prevEvents,
      auth_events: authority.flatMap((event) => event?.eventId ?? []),
    }
    return finishEvent(draft, version, homeserver.identity)
  }
  const branches: [SignedEvent, SignedEvent] = [rule('invite'), rule('public')]
  await inject(homeserver, ...branches)
  for (const branch of branches) await accepts(branch)
  return branches
}
