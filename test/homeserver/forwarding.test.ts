import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { OriginalRequest } from '../../src/knock/ports/homeserver.ts'
import type { UserId } from '../../src/matrix/identifiers.ts'
import { ALICE, CAROL, HERE, REMOTE, usualRoom } from '../knock/stage.ts'
import type { SignedEvent } from '../support/events.ts'
import { knockEvent, sendKnockPath } from '../support/remote-knocker.ts'
import { authorization, type JsonRecord } from '../support/signing.ts'
import { bans, joinRule, says, type TestRoom } from '../support/test-room.ts'
import { type Beside, beside, knockToHandOver } from './beside.ts'

let world: Beside
afterEach(() => world.close())

async function open(): Promise<TestRoom> {
  world = await beside({ handover: 'forward', localUsers: [ALICE.id as UserId] })
  const room = usualRoom('11', [says(ALICE, 'hello')])
  world.resident.has([room])
  return room
}

/** Signed over another target than the usual, and with a body that is not canonical. */
function unusual(room: TestRoom, { eventId, pdu }: SignedEvent): OriginalRequest {
  const uri = sendKnockPath(room.roomId, eventId).replace('%24', '$').replace('%3A', ':')
  const body = Buffer.from(`{ "z\\u0061": 1,\n${JSON.stringify(pdu, undefined, 3).slice(1)}`)
  const content = JSON.parse(body.toString()) as JsonRecord
  const line = authorization(REMOTE, { method: 'PUT', uri, destination: HERE.name, content })
  const spaced = line.replace('X-Matrix ', 'X-Matrix  ').replaceAll(',', ' , ')
  return { method: 'PUT', uri, authorization: [line, spaced], body }
}

describe('sending a knock on', () => {
  it('repeats the request byte for byte: its target, every Authorization line, its body', async () => {
    const room = await open()
    const knock = knockEvent(room, CAROL)
    const original = unusual(room, knock)
    const usual = knockToHandOver(room, knock, world.now() + 10_000)
    expect(await world.homeserver.handover.handOver({ ...usual, original })).toEqual({ kind: 'accepted' })
    const [sent] = world.resident.requests
    expect(sent).toMatchObject({ call: 'send_knock', method: 'PUT', uri: original.uri })
    expect(sent?.body.equals(original.body as Buffer)).toBe(true)
    const values = (name: string) =>
      sent?.rawHeaders.filter((_, at) => sent.rawHeaders[at - 1]?.toLowerCase() === name) ?? []
    expect(values('authorization')).toEqual(original.authorization)
    expect(values('content-length')).toEqual([String(original.body?.length)])
    expect(values('content-type')).toEqual(['application/json'])
    expect(values('x-matrix-knock')).toEqual([world.homeserver.marker])
  })

  it('adds its marker to those of the processes that it came through', async () => {
    const room = await open()
    const knock = knockEvent(room, CAROL)
    const usual = knockToHandOver(room, knock, world.now() + 10_000)
    const original = { ...unusual(room, knock), markers: ['one', 'two'] }
    await world.homeserver.handover.handOver({ ...usual, original })
    const [sent] = world.resident.requests
    const at = sent?.rawHeaders.findIndex((name) => name.toLowerCase() === 'x-matrix-knock') ?? -1
    expect(sent?.rawHeaders[at + 1]).toBe(`one, two, ${world.homeserver.marker}`)
  })

  it('leaves the other servers to the homeserver', async () => {
    await open()
    expect(world.homeserver.handover.homeserverDelivers).toBe(true)
  })

  it('never sends it a second way', async () => {
    const room = await open()
    await world.handOver(room, knockEvent(room, CAROL))
    world.resident.fails({ status: 500 }, 'send_knock')
    await world.handOver(room, knockEvent(room, CAROL, { origin_server_ts: 1 }))
    expect(world.resident.count('send')).toBe(0)
    expect(world.resident.count('send_knock')).toBe(2)
  })

  it('is accepted again where it came before', async () => {
    const room = await open()
    const knock = knockEvent(room, CAROL)
    expect(await world.handOver(room, knock)).toEqual({ kind: 'accepted' })
    expect(await world.handOver(room, knock)).toEqual({ kind: 'accepted' })
  })

  it('passes the refusal of the homeserver on', async () => {
    const room = await open()
    const banned = world.resident.happens(room.roomId, bans(ALICE, CAROL))
    expect(await world.handOver(banned, knockEvent(banned, CAROL))).toEqual({
      kind: 'refused',
      refusal: {
        ...{ ok: false, status: 403, errcode: 'M_FORBIDDEN', error: 'the fake homeserver says no' },
        rule: 'handover: the homeserver',
      },
    })
  })

  it.each([
    [400, 'M_INVALID_PARAM', 'M_INVALID_PARAM'],
    [400, 'M_MISSING_PARAM', 'M_MISSING_PARAM'],
    [404, 'M_NOT_FOUND', 'M_NOT_FOUND'],
    [413, 'M_TOO_LARGE', 'M_TOO_LARGE'],
    [403, 'ORG.EXAMPLE.SECRET', 'M_FORBIDDEN'],
  ])('passes on %i %s as %s, shortened', async (status, errcode, passed) => {
    const room = await open()
    world.resident.fails({ status, body: { errcode, error: 'x'.repeat(10_000), secret: 'y' } }, 'send_knock')
    const outcome = await world.handOver(room, knockEvent(room, CAROL))
    expect(outcome).toMatchObject({ kind: 'refused', refusal: { status, errcode: passed, error: 'x'.repeat(500) } })
    expect(JSON.stringify(outcome)).not.toContain('secret')
  })

  it('says something where the homeserver says nothing', async () => {
    const room = await open()
    world.resident.fails({ status: 403, text: '<html>' }, 'send_knock')
    const error = 'The homeserver refused the knock'
    expect(await world.handOver(room, knockEvent(room, CAROL))).toMatchObject({ refusal: { status: 403, error } })
  })

  it.each([401, 429, 500, 502, 301])('does not pass %i on: it is not for the remote', async (status) => {
    const room = await open()
    world.resident.fails({ status, body: { errcode: 'M_UNAUTHORIZED', error: 'you' } }, 'send_knock')
    const reason = `send_knock answers ${status}`
    expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({ kind: 'unknown', reason })
  })

  it('tells the operator that the homeserver has no knocking', async () => {
    const room = await open()
    world.resident.character = 'dendrite'
    const reason = 'the homeserver has no send_knock: homeserver.handover must be inject'
    expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({ kind: 'unknown', reason })
  })

  it.each([
    ['a ban', bans(ALICE, CAROL)],
    ['another join rule', joinRule(ALICE, 'invite')],
  ] as const)('is no proof where %s came after the template: a 200 without effect', async (_what, line) => {
    const room = await open()
    const knock = knockEvent(room, CAROL)
    world.resident.happens(room.roomId, line)
    expect(await world.handOver(room, knock, 1_500)).toEqual({
      kind: 'unknown',
      reason: 'the homeserver answered 200, but the knock was not seen in the room',
    })
  })

  it.each([
    ['hang', 'send_knock: no answer in time'],
    ['close', 'send_knock: UND_ERR_SOCKET'],
    ['half', 'send_knock: UND_ERR_SOCKET'],
    ['stall', 'send_knock: no answer in time'],
    ['endless', 'send_knock: the answer is longer than 8388608 bytes'],
  ] as const)('is of unknown outcome where the answer ends with %s, and it does not show', async (fault, reason) => {
    const room = await open()
    world.resident.happens(room.roomId, bans(ALICE, CAROL))
    world.resident.fails(fault, 'send_knock')
    const withinMs = fault === 'hang' || fault === 'stall' ? 500 : 10_000
    expect(await world.handOver(room, knockEvent(room, CAROL), withinMs)).toEqual({ kind: 'unknown', reason })
  })

  it.each(['close', 'half', 'endless'] as const)(
    'is accepted where the answer ends with %s, and it shows',
    async (fault) => {
      const room = await open()
      world.resident.fails(fault, 'send_knock')
      expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({ kind: 'accepted' })
    },
  )
})

describe('the connection to the homeserver', () => {
  it('is tried anew after it was refused', async () => {
    const place = createServer()
    await once(place.listen(0, '127.0.0.1'), 'listening')
    const { port } = place.address() as AddressInfo
    await new Promise((resolve) => place.close(resolve))
    world = await beside({ url: `http://127.0.0.1:${port}`, localUsers: [ALICE.id as UserId] })
    const room = usualRoom()
    expect(await world.refresh(room)).toEqual({ kind: 'out of order', reason: 'make_leave: ECONNREFUSED' })
  })

  it('holds sixteen requests at a time, and the others wait for their turn or their deadline', async () => {
    const room = await open()
    world.resident.fails('hang', 'send_knock')
    const knocks = Array.from({ length: 20 }, (_, at) => knockEvent(room, CAROL, { origin_server_ts: at }))
    const handing = knocks.map((knock) => world.handOver(room, knock, 6_000))
    await expect.poll(() => world.resident.count('send_knock')).toBe(16)
    const outcomes = await Promise.all(handing)
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['unknown']))
    world.resident.heals()
    world.resident.has([room])
    expect(await world.handOver(room, knockEvent(room, CAROL))).toEqual({ kind: 'accepted' })
  })

  it('ends with the service, whatever is under way', async () => {
    const room = await open()
    world.resident.fails('hang', 'send_knock')
    const handing = world.handOver(room, knockEvent(room, CAROL))
    await expect.poll(() => world.resident.count('send_knock')).toBe(1)
    await world.homeserver.close()
    expect(await handing).toMatchObject({ kind: 'out of order' })
  })
})
