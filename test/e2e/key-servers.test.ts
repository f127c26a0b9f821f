import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import type { KeyBehaviour } from '../support/key-server.ts'
import { knockEvent, makeKnock, makeKnockPath, sendKnock, signedRequest } from '../support/remote-knocker.ts'
import { createIdentity } from '../support/signing.ts'
import { buildRoom, opening, person, type TestRoom } from '../support/test-room.ts'
import { type Cast, type Stage, setStage, until } from './stage.ts'

let stage: Stage
let room: TestRoom
const fakes: FakeHomeserver[] = []

beforeAll(async () => {
  const rooms = ({ alice }: Cast): readonly TestRoom[] => {
    room = buildRoom('10', alice, opening(alice, '10'))
    return [room]
  }
  stage = await setStage(rooms, { timeouts: { key_lookup_seconds: 2 } })
})
afterAll(async () => {
  await stage?.close()
  await Promise.all(fakes.map((fake) => fake.close()))
})

/** A homeserver that nobody has met before. */
async function newcomer(keys: KeyBehaviour, certificateNames?: readonly string[]): Promise<FakeHomeserver> {
  const options = { authority: stage.authority, ...(certificateNames && { certificateNames }) }
  const fake = await startFakeHomeserver(options)
  fake.keys = keys
  fakes.push(fake)
  return fake
}

const knockFrom = (fake: FakeHomeserver) => makeKnock(stage.service, person('kim', fake.identity), room)
const unauthorized = { status: 401, body: { errcode: 'M_UNAUTHORIZED', error: expect.any(String) } }

describe('a key server that', () => {
  it.each<KeyBehaviour>([
    'error',
    'wrong-name',
    'wrong-signature',
    'unsigned',
    'expired',
    'huge',
    'not-json',
    'redirect-to-metadata',
    'hang',
  ])('B6 C1 C8 is of the kind %s is 401, while others are served', async (behaviour) => {
    const fake = await newcomer(behaviour)
    const refused = knockFrom(fake)
    const other = await makeKnock(stage.service, stage.knocker('kim'), room)
    expect(other.status).toBe(200)
    expect(await refused).toMatchObject(unauthorized)
    expect(fake.keyRequests).toBeGreaterThan(0)
  })

  it('C1 has a certificate for another name is 401, and is not asked', async () => {
    const fake = await newcomer('good', ['elsewhere.example.test'])
    expect(await knockFrom(fake)).toMatchObject(unauthorized)
    expect(fake.keyRequests).toBe(0)
  })

  it('C1 is not there at all is 401', async () => {
    const fake = await newcomer('good')
    await fake.close()
    fakes.splice(fakes.indexOf(fake), 1)
    expect(await knockFrom(fake)).toMatchObject(unauthorized)
  })

  it('C4 is asked once for twenty requests at a time', async () => {
    const fake = await newcomer('good')
    const answers = await Promise.all(Array.from({ length: 20 }, () => knockFrom(fake)))
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
    expect(fake.keyRequests).toBe(1)
  })

  it('C4 has rotated its key is asked again, and the old key authenticates no more requests', async () => {
    const fake = await newcomer('good')
    expect((await knockFrom(fake)).status).toBe(200)
    const before = fake.identity
    fake.rotate('ed25519:t_2')
    expect((await knockFrom(fake)).status).toBe(200)
    const path = makeKnockPath(room.roomId, `@kim:${fake.name}`, '10')
    expect(await signedRequest(stage.service, before, 'GET', path)).toMatchObject(unauthorized)
  })

  it('C4 is out of order is not missed while its keys are in the store', async () => {
    const fake = await newcomer('good')
    expect((await knockFrom(fake)).status).toBe(200)
    fake.keys = 'hang'
    expect(await stage.service.restart()).toBe(0)
    expect((await knockFrom(fake)).status).toBe(200)
    expect(fake.keyRequests).toBe(1)
  })

  it('C3 has retired a key is believed for events of its time, and for none since', async () => {
    const fake = await newcomer('good')
    const before = fake.identity
    const retired = Date.now() - 1
    await until('next millisecond', () => Date.now() > retired + 5)
    fake.rotate('ed25519:t_2')
    const signedThen = person('then', before)
    const old = knockEvent(room, signedThen, { origin_server_ts: retired })
    expect((await sendKnock(stage.service, fake.identity, room, old)).status).toBe(200)
    const fresh = knockEvent(room, person('now', before), { origin_server_ts: Date.now() + 1000 })
    const answer = await sendKnock(stage.service, fake.identity, room, fresh)
    expect(answer).toMatchObject({ status: 400, body: { errcode: 'M_INVALID_PARAM' } })
  })

  it('C2 promises its key for a year is believed for seven days', async () => {
    const fake = await newcomer('good-for-a-year')
    const knockInDays = (days: number) => {
      const event = knockEvent(room, person(`in${days}`, fake.identity), {
        origin_server_ts: Date.now() + days * 86_400_000,
      })
      return sendKnock(stage.service, fake.identity, room, event)
    }
    expect((await knockInDays(6)).status).toBe(200)
    expect(await knockInDays(8)).toMatchObject({ status: 400, body: { errcode: 'M_INVALID_PARAM' } })
  })
})

it('C8 a server name that leads to a private address outside the allow-list is 401', async () => {
  for (const name of ['169.254.169.254', '10.0.0.1:8448', '[fd00::1]', '[::ffff:169.254.169.254]']) {
    const path = makeKnockPath(room.roomId, `@kim:${name}`, '10')
    expect(await signedRequest(stage.service, createIdentity(name), 'GET', path)).toMatchObject(unauthorized)
  }
})
