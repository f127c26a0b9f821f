/** SIGTERM while the service has all kinds of work: each request gets its answer, and the process ends in time. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { until } from '../e2e/stage.ts'
import { boundSocket } from '../support/bound-socket.ts'
import { startFakeHomeserver } from '../support/fake-homeserver.ts'
import { makeKnock, sendKnock } from '../support/remote-knocker.ts'
import { person } from '../support/test-room.ts'
import { expectDelivered, expectWholeBooks } from './books.ts'
import { gatherCrowd } from './crowd.ts'
import { bugsIn, setScene, sqliteStore } from './scene.ts'

const CROWD = 6
const REQUEST_SECONDS = 5
const KEY_LOOKUP_SECONDS = 2
/** For deliveries and the store, as `run` allows itself. */
const MARGIN_SECONDS = 10

describe('SIGTERM under load', () => {
  it('drops no request, waits no longer than configured, and loses nothing', async () => {
    const socket = boundSocket()
    onTestFinished(() => socket.close())
    const scene = await setScene()
    const { room, remote, neighbour, authority } = scene
    const slow = await startFakeHomeserver({ authority })
    onTestFinished(() => slow.close())
    slow.keys = 'hang'
    const timeouts = { request_seconds: REQUEST_SECONDS, key_lookup_seconds: KEY_LOOKUP_SECONDS }
    const service = await scene.start({ rooms: [room], socket, config: { timeouts } })

    neighbour.transactions = 'hang'
    const crowd = gatherCrowd({
      ...{ room, server: remote.identity, size: CROWD },
      send: async (event) => (await sendKnock(service, remote.identity, room, event)).status,
    })
    await crowd.more(CROWD)
    await until('delivery that hangs', () => neighbour.attempts.length > 0)
    const unfinished = connect(service.port, '127.0.0.1')
      .on('error', () => undefined)
      .resume()
    unfinished.write('PUT /_matrix/federation/v1/send_knock/!a:b/$c HTTP/1.1\r\ncontent-length: 9\r\n\r\n{')
    const hanging = makeKnock(service, person('slow', slow.identity), room)
    await until('look-up that hangs', () => slow.keyRequests > 0)

    const told = Date.now()
    expect(await service.end()).toBe(0)
    expect(Date.now() - told).toBeLessThan((REQUEST_SECONDS + MARGIN_SECONDS) * 1000)
    const { status, body } = await hanging
    expect(`${status} ${body.errcode}`).toBe('401 M_UNAUTHORIZED')
    if (!unfinished.closed) await once(unfinished, 'close')

    neighbour.transactions = 'good'
    await service.start()
    await crowd.more(CROWD)
    await crowd.leave()
    expect([...crowd.answers.keys()]).toEqual([200])
    const location = (await sqliteStore()).location(service)
    const recorded = await expectWholeBooks({ location, room, imports: 1, accepted: crowd.accepted })
    expect(recorded).toHaveLength(crowd.accepted.size)
    await expectDelivered(neighbour, recorded)
    expect(bugsIn(service)).toEqual([])
  })
})
