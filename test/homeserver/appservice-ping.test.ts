import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AppservicePing, createAppservicePing, pingOnce } from '../../src/homeserver/appservice-ping.ts'
import { type Beside, beside } from './beside.ts'

let world: Beside
let ping: AppservicePing | undefined
beforeEach(async () => {
  world = await beside()
})
afterEach(async () => {
  ping?.stop()
  await world.close()
})

const known = () => ({
  client: world.homeserver.client,
  appserviceId: 'a/b',
  asToken: 'as',
  clock: world.now,
})

describe('asking whether the homeserver reaches us', () => {
  it('asks with its token, under its id', async () => {
    expect(await pingOnce(known())).toEqual({ kind: 'reached' })
    const [asked] = world.resident.requests
    expect(asked).toMatchObject({ method: 'POST', uri: '/_matrix/client/v1/appservice/a%2Fb/ping' })
    expect(asked?.rawHeaders).toEqual(expect.arrayContaining(['Bearer as']))
    expect(asked?.body.toString()).toBe('{}')
  })

  it.each([404, 405])('says nothing where the homeserver has no pings: %i', async (status) => {
    world.resident.fails({ status }, 'ping')
    expect(await pingOnce(known())).toEqual({ kind: 'unknown' })
  })

  it.each([
    [502, { errcode: 'M_BAD_STATUS', error: 'it answers 403' }, 'ping answers 502 M_BAD_STATUS it answers 403'],
    [401, { errcode: 'M_UNKNOWN_TOKEN', error: 7 }, 'ping answers 401 M_UNKNOWN_TOKEN'],
  ])('says why it failed: %i', async (status, body, reason) => {
    world.resident.fails({ status, body }, 'ping')
    expect(await pingOnce(known())).toEqual({ kind: 'failed', reason })
  })

  it('fails where nothing answers', async () => {
    world.resident.fails('close', 'ping')
    expect(await pingOnce(known())).toEqual({ kind: 'failed', reason: 'UND_ERR_SOCKET' })
  })

  it('asks as soon as it starts, and tells either way', async () => {
    const told: string[] = []
    ping = createAppservicePing({
      ...known(),
      onSuccess: () => void told.push('reached'),
      onFailure: (reason) => void told.push(reason),
    })
    ping.start()
    await expect.poll(() => told).toEqual(['reached'])
    ping.stop()
    world.resident.fails({ status: 502 }, 'ping')
    ping.start()
    await expect.poll(() => told).toEqual(['reached', expect.stringContaining('ping answers 502')])
  })
})
