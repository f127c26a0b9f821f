import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  finishEvent,
  idOf,
  KNOCKABLE_VERSIONS,
  redacted,
  type SignedEvent,
  type TestedVersion,
} from '../support/events.ts'
import { exchange } from '../support/http-client.ts'
import { knockDraft, knockEvent, sendKnock, sendKnockPath } from '../support/remote-knocker.ts'
import { authorization, canonical, type JsonRecord } from '../support/signing.ts'
import { buildRoom, joins, opening, type TestRoom } from '../support/test-room.ts'
import { type Stage, setStage, until } from './stage.ts'

let stage: Stage
const rooms = new Map<TestedVersion, TestRoom>()

beforeAll(async () => {
  stage = await setStage(({ alice, bob }) =>
    KNOCKABLE_VERSIONS.map((version) => {
      const room = buildRoom(version, alice, [...opening(alice, version), joins(bob)])
      rooms.set(version, room)
      return room
    }),
  )
})
afterAll(() => stage?.close())

const roomOf = (version: TestedVersion): TestRoom => rooms.get(version) as TestRoom

/** What the neighbour has received under this id. */
async function delivered({ eventId }: SignedEvent): Promise<JsonRecord> {
  const find = (): JsonRecord | undefined => {
    for (const { eventIds, pdus } of stage.neighbour.received) {
      const at = eventIds.indexOf(eventId)
      if (at >= 0) return pdus[at]
    }
    return undefined
  }
  await until(`delivery of ${eventId}`, () => find() !== undefined)
  return find() ?? {}
}

describe.each(KNOCKABLE_VERSIONS)('the content of a knock in room version %s', (version) => {
  it('F6 an altered reason is accepted, and the stored and delivered copy is redacted with the same id', async () => {
    const event = knockEvent(roomOf(version), stage.knocker('altered'))
    const pdu = { ...event.pdu, content: { membership: 'knock', reason: 'something else', displayname: 'Mallory' } }
    const answer = await sendKnock(stage.service, stage.remote.identity, roomOf(version), { ...event, pdu })
    expect(answer.status).toBe(200)
    const copy = await delivered(event)
    expect(copy).toEqual(redacted(pdu, version))
    expect(copy.content).toEqual({ membership: 'knock' })
    expect(idOf(copy, version)).toBe(event.eventId)
  })

  it('F6 an unaltered knock is delivered whole, without unsigned', async () => {
    const event = knockEvent(roomOf(version), stage.knocker('whole'), { 'org.example.extra': { a: [1] } })
    const pdu = { ...event.pdu, unsigned: { age: 4 } }
    const answer = await sendKnock(stage.service, stage.remote.identity, roomOf(version), { ...event, pdu })
    expect(answer.status).toBe(200)
    expect(await delivered(event)).toEqual(event.pdu)
  })

  it('F12 an event of 65536 bytes is accepted, one of 65537 refused', async () => {
    const atLimit = eventOfSize(version, 'limit', 65_536)
    expect(canonical(atLimit.pdu)).toHaveLength(65_536)
    const accepted = await sendKnock(stage.service, stage.remote.identity, roomOf(version), atLimit)
    expect(accepted.status).toBe(200)
    const beyond = eventOfSize(version, 'beyond', 65_537)
    const refused = await sendKnock(stage.service, stage.remote.identity, roomOf(version), beyond)
    expect(refused).toMatchObject({ status: 413, body: { errcode: 'M_TOO_LARGE', error: expect.any(String) } })
  })

  it('B7 F12 white space and escapes do not count', async () => {
    const event = eventOfSize(version, 'escaped', 65_536)
    const spaced = JSON.stringify(event.pdu, null, 8).replaceAll('x', '\\u0078')
    expect(spaced.length).toBeGreaterThan(300_000)
    const path = sendKnockPath(roomOf(version).roomId, event.eventId)
    const toSign = { method: 'PUT', uri: path, destination: stage.resident.name, content: event.pdu }
    const headers = ['authorization', authorization(stage.remote.identity, toSign)]
    const answer = await exchange(stage.service.port, { method: 'PUT', path, headers, body: spaced })
    expect(answer.status).toBe(200)
  })

  it.each<[string, JsonRecord]>([
    ['__proto__', JSON.parse('{"__proto__":{"polluted":true}}') as JsonRecord],
    ['constructor', { constructor: { prototype: { polluted: true } } }],
    ['integer-like', { '10': 1, '9': 2, '-1': 3, a: 4 }],
    ['empty', { '': '' }],
    ['astral and U+FFxx', { '\ufb33': 1, '\u{1f600}': 2, '\uffee': 3, '\u{10000}': 4 }],
    ['toString and hasOwnProperty', { toString: 1, hasOwnProperty: 2 }],
  ])('D4 %s keys are hashed, signed and delivered as they are', async (name, keys) => {
    const content = { ...keys, nested: keys, membership: 'knock', reason: name }
    const event = knockEvent(roomOf(version), stage.knocker(`key-${name.replaceAll(/\W/g, '')}`), { content })
    const answer = await sendKnock(stage.service, stage.remote.identity, roomOf(version), event)
    expect(answer.status).toBe(200)
    const copy = await delivered(event)
    expect(canonical(copy)).toBe(canonical(event.pdu))
  })
})

it('the log tells of the knocks, and nothing that people wrote, and no secret', () => {
  const log = stage.service.log()
  expect(log).toContain('send_knock')
  const secret = Buffer.from(stage.resident.seed).toString('base64').replaceAll('=', '')
  for (const text of ['may I come in', 'something else', 'Mallory', 'xxxxxxxx', secret]) expect(log).not.toContain(text)
})

it('what was delivered was signed by the resident, and nothing else was', () => {
  expect(stage.neighbour.complaints).toEqual([])
  expect(stage.neighbour.received.every(({ origin }) => origin === stage.resident.name)).toBe(true)
})

/** A knock whose canonical form is of that many bytes, signatures included. */
function eventOfSize(version: TestedVersion, localpart: string, bytes: number): SignedEvent {
  const kim = stage.knocker(localpart)
  const build = (length: number): SignedEvent => {
    const content = { membership: 'knock', reason: 'x'.repeat(length) }
    return finishEvent(
      knockDraft(roomOf(version), kim, { content, origin_server_ts: 1_700_000_000_000 }),
      version,
      kim.server,
    )
  }
  return build(bytes - Buffer.byteLength(canonical(build(0).pdu)))
}
