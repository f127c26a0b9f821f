import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { SignedEvent } from '../support/events.ts'
import { type Answer, exchange } from '../support/http-client.ts'
import { knockEvent, makeKnock, makeKnockPath, sendKnock } from '../support/remote-knocker.ts'
import { authorization } from '../support/signing.ts'
import { buildRoom, opening, person, type TestRoom } from '../support/test-room.ts'
import { type Cast, type Stage, setStage } from './stage.ts'

let stage: Stage
let room: TestRoom

beforeAll(async () => {
  const rooms = ({ alice }: Cast): readonly TestRoom[] => {
    room = buildRoom('10', alice, opening(alice, '10'))
    return [room]
  }
  stage = await setStage(rooms, {
    listen: { trust_proxy: ['127.0.0.0/8'] },
    federation: { deny_servers: ['local*'] },
    limits: { per_address: { per_second: 1, burst: 3 }, per_user: { knocks: 1, per_seconds: 3600 } },
  })
})
afterAll(() => stage?.close())

const forbidden = { status: 403, body: { errcode: 'M_FORBIDDEN', error: expect.any(String) } }

describe("the operator's rules", () => {
  it('a denied server is 403 before its keys are asked for', async () => {
    const lee = person('lee', stage.neighbour.identity)
    expect(await makeKnock(stage.service, lee, room)).toMatchObject(forbidden)
    expect(stage.neighbour.keyRequests).toBe(0)
    expect((await makeKnock(stage.service, stage.knocker('kim'), room)).status).toBe(200)
  })

  it('a user who has knocked as often as allowed is 403, never 429, and a repeat is still 200', async () => {
    const kim = stage.knocker('often')
    const event = knockEvent(room, kim)
    expect((await sendKnock(stage.service, stage.remote.identity, room, event)).status).toBe(200)
    const another = knockEvent(room, kim, {
      content: { membership: 'knock', reason: 'again' },
      auth_events: [...room.authEventsFor(kim.id), event.eventId],
    })
    expect(await sendKnock(stage.service, stage.remote.identity, room, another)).toMatchObject(forbidden)
    expect((await sendKnock(stage.service, stage.remote.identity, room, event)).status).toBe(200)
    const someoneElse = knockEvent(room, stage.knocker('seldom'))
    expect((await sendKnock(stage.service, stage.remote.identity, room, someoneElse)).status).toBe(200)
  })

  it('A6 too many requests from one address that the proxy reports are 429 with Retry-After, others go on', async () => {
    const path = makeKnockPath(room.roomId, stage.knocker('kim').id, '10')
    const toSign = { method: 'GET', uri: path, destination: stage.resident.name }
    const from = (address: string): Promise<Answer> => {
      const headers = ['authorization', authorization(stage.remote.identity, toSign), 'x-forwarded-for', address]
      return exchange(stage.service.port, { method: 'GET', path, headers })
    }
    const answers = await Promise.all(Array.from({ length: 10 }, () => from('198.51.100.7')))
    const limited = answers.filter(({ status }) => status === 429)
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(3)
    expect(limited.length).toBeGreaterThanOrEqual(3)
    for (const { body, headers } of limited) {
      expect(body).toMatchObject({ errcode: 'M_LIMIT_EXCEEDED', error: expect.any(String) })
      expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    }
    expect((await from('198.51.100.8')).status).toBe(200)
  })

  it('A6 requests that no proxy reports are not limited', async () => {
    for (let at = 0; at < 10; at++) {
      expect((await makeKnock(stage.service, stage.knocker('kim'), room)).status).toBe(200)
    }
  })
})

describe('the limits that are on without being asked for', () => {
  it('let a user knock ten times an hour; what was refused and what is repeated does not count', async () => {
    let house: TestRoom | undefined
    const build = ({ alice }: Cast): readonly TestRoom[] => {
      house = buildRoom('10', alice, opening(alice, '10'))
      return [house]
    }
    const usual = await setStage(build, { limits: {} })
    onTestFinished(() => usual.close())
    const here = house as TestRoom
    const kim = usual.knocker('kim')
    const send = (event: SignedEvent) => sendKnock(usual.service, usual.remote.identity, here, event)
    for (let at = 0; at < 12; at++) {
      expect((await send(knockEvent(here, kim, { depth: 1_000 + at }))).status).toBe(400)
    }
    let last: SignedEvent | undefined
    const next = (at: number) => {
      const authEvents = [...here.authEventsFor(kim.id), ...(last === undefined ? [] : [last.eventId])]
      return knockEvent(here, kim, { content: { membership: 'knock', reason: `${at}` }, auth_events: authEvents })
    }
    for (let at = 0; at < 10; at++) {
      last = next(at)
      expect((await send(last)).status, `knock ${at}`).toBe(200)
      expect((await send(last)).status, `knock ${at} again`).toBe(200)
    }
    expect(await send(next(10))).toMatchObject(forbidden)
    expect(await makeKnock(usual.service, kim, here)).toMatchObject(forbidden)
    expect((await makeKnock(usual.service, usual.knocker('lee'), here)).status).toBe(200)
    const listed = await usual.service.command('knocks', 'list', '--json')
    expect(listed.stdout).toContain('limits.per_user')
  })
})
