import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KNOCKABLE_VERSIONS, type SignedEvent, type TestedVersion } from '../support/events.ts'
import type { FakeHomeserver } from '../support/fake-homeserver.ts'
import { knockEvent, makeKnock, sendKnock } from '../support/remote-knocker.ts'
import { base64, type JsonRecord } from '../support/signing.ts'
import {
  bans,
  buildRoom,
  joinRule,
  joins,
  type Line,
  leaves,
  opening,
  person,
  sets,
  type TestRoom,
} from '../support/test-room.ts'
import { type Cast, type Stage, setStage, until } from './stage.ts'

let stage: Stage
const rooms = new Map<TestedVersion, TestRoom>()
const policy = new Map<string, TestRoom>()

/** What makes a room the same when it is told again. */
const since = Date.now() - 3_600_000
const told = (version: TestedVersion) => ({ since, localpart: `told-${version}` })

function story(
  version: TestedVersion,
  { alice, bob, remote }: Pick<Cast, 'alice' | 'bob' | 'remote'>,
): readonly Line[] {
  const jo = person('jo', remote.identity)
  return [...opening(alice, version, 'public'), joins(bob), joins(jo), joinRule(alice, 'knock')]
}

function build({ alice, bob, remote, neighbour }: Cast): readonly TestRoom[] {
  for (const version of KNOCKABLE_VERSIONS) {
    rooms.set(version, buildRoom(version, alice, story(version, { alice, bob, remote }), told(version)))
  }
  const via = (name: string, more: JsonRecord = {}) =>
    sets(alice, 'm.room.policy', { via: name, public_keys: { ed25519: base64(neighbour.identity.publicKey) }, ...more })
  const public10 = [...opening(alice, '10', 'public'), joins(bob), joinRule(alice, 'knock')]
  policy.set('enabled', buildRoom('10', alice, [...public10, via(neighbour.name)]))
  policy.set('of a server without a member', buildRoom('10', alice, [...public10, via('policy.example')]))
  policy.set('without a key', buildRoom('10', alice, [...public10, via(neighbour.name, { public_keys: {} })]))
  const leftRoom = [...opening(alice, '10', 'public'), joins(bob), leaves(bob), joinRule(alice, 'knock')]
  policy.set('of a server that left', buildRoom('10', alice, [...leftRoom, via(neighbour.name)]))
  return [...rooms.values(), ...policy.values()]
}

beforeAll(async () => {
  stage = await setStage(build)
})
afterAll(() => stage?.close())

const roomOf = (version: TestedVersion): TestRoom => rooms.get(version) as TestRoom
const receivedBy = (fake: FakeHomeserver): readonly string[] => fake.received.flatMap(({ eventIds }) => eventIds)

async function accept(room: TestRoom, localpart: string): Promise<SignedEvent> {
  const event = knockEvent(room, stage.knocker(localpart))
  const answer = await sendKnock(stage.service, stage.remote.identity, room, event)
  expect(answer.status).toBe(200)
  return event
}

describe('delivery of accepted knocks', () => {
  it.each(KNOCKABLE_VERSIONS)(
    'G3 each joined server but ours and the knocker gets it once, version %s',
    async (version) => {
      const event = await accept(roomOf(version), 'once')
      await until('delivery', () => receivedBy(stage.neighbour).includes(event.eventId))
      const transaction = stage.neighbour.received.find(({ eventIds }) => eventIds.includes(event.eventId))
      expect(transaction?.body).toMatchObject({
        origin: stage.resident.name,
        origin_server_ts: expect.any(Number),
        pdus: expect.arrayContaining([event.pdu]),
      })
      expect(receivedBy(stage.neighbour).filter((eventId) => eventId === event.eventId)).toHaveLength(1)
      expect(receivedBy(stage.remote)).toEqual([])
    },
  )

  it('F10 a knock that is sent twice is delivered once', async () => {
    const event = await accept(roomOf('10'), 'twice')
    expect((await sendKnock(stage.service, stage.remote.identity, roomOf('10'), event)).status).toBe(200)
    const after = await accept(roomOf('10'), 'after-twice')
    await until('delivery', () => receivedBy(stage.neighbour).includes(after.eventId))
    expect(receivedBy(stage.neighbour).filter((eventId) => eventId === event.eventId)).toHaveLength(1)
  })

  it('F10 a knock that was answered since is 403 when it is sent again', async () => {
    const event = await accept(roomOf('11'), 'answered')
    const banned = buildRoom(
      '11',
      stage.alice,
      [...story('11', stage), bans(stage.alice, stage.knocker('answered'))],
      told('11'),
    )
    expect(await stage.service.importRoom(banned)).toMatchObject({ code: 0 })
    await until('effect of the import', async () => {
      const { status, body } = await sendKnock(stage.service, stage.remote.identity, roomOf('11'), event)
      return status === 403 && body.errcode === 'M_FORBIDDEN'
    })
  })

  it('G3 a transaction is sent until it is answered, survives a restart, and holds 50 PDUs at most', async () => {
    stage.neighbour.transactions = 'error'
    const before = stage.neighbour.attempts.length
    const events: SignedEvent[] = []
    for (let at = 0; at < 60; at++) events.push(await accept(roomOf('12'), `many-${at}`))
    await until('first attempt', () => stage.neighbour.attempts.length > before)
    expect(await stage.service.restart()).toBe(0)
    stage.neighbour.transactions = 'good'
    const wanted = events.map(({ eventId }) => eventId)
    await until('delivery of all', () => wanted.every((id) => receivedBy(stage.neighbour).includes(id)), 20_000)
    expect(new Set(receivedBy(stage.neighbour)).size).toBe(receivedBy(stage.neighbour).length)
    const ids = stage.neighbour.received.map(({ txnId }) => txnId)
    expect(new Set(ids).size).toBe(ids.length)
    expect(stage.neighbour.complaints).toEqual([])
  })
})

describe('rooms with a policy server', () => {
  it('G4 both endpoints refuse where it is enabled', async () => {
    const room = policy.get('enabled') as TestRoom
    const kim = stage.knocker('policed')
    const forbidden = { status: 403, body: { errcode: 'M_FORBIDDEN', error: expect.stringMatching(/policy/i) } }
    expect(await makeKnock(stage.service, kim, room)).toMatchObject(forbidden)
    const event = knockEvent(room, kim)
    expect(await sendKnock(stage.service, stage.remote.identity, room, event)).toMatchObject(forbidden)
  })

  it.each(['of a server without a member', 'without a key', 'of a server that left'])(
    'G4 one %s is not in force',
    async (name) => {
      await accept(policy.get(name) as TestRoom, 'unpoliced')
    },
  )
})
