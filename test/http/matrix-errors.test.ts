import { afterEach, describe, expect, it } from 'vitest'
import { exchange, exchangeBytes } from '../support/http-client.ts'
import { knockEvent, makeKnockPath, sendKnockPath, signedRequest } from '../support/remote-knocker.ts'
import { createIdentity, type Json } from '../support/signing.ts'
import { type Listener, openListener } from './listener-fixture.ts'

let listener: Listener
afterEach(() => listener?.close())

const MAKE = '/_matrix/federation/v1/make_knock/!r:resident.example/@k:remote.example'
const SEND = `/_matrix/federation/v1/send_knock/!r:resident.example/$${'A'.repeat(43)}`
const errorOf = (errcode: string) => ({ errcode, error: expect.any(String) })

describe('endpoints and methods', () => {
  it.each([
    '/',
    '/_matrix/federation/v1/version',
    '/_matrix/federation/v1/make_knock',
    '/_matrix/federation/v1/make_join/!r:resident.example/@k:remote.example',
    '/_matrix/federation/v1/make%5Fknock/!r:resident.example/@k:remote.example',
    '/%5Fmatrix/federation/v1/make_knock/!r:resident.example/@k:remote.example',
    '/_MATRIX/federation/v1/make_knock/!r:resident.example/@k:remote.example',
    '/_matrix/federation/v2/make_knock/!r:resident.example/@k:remote.example',
    '/make_knock',
    '/other',
  ])('A1 %s is 404 M_UNRECOGNIZED', async (url) => {
    listener = await openListener()
    const answer = await listener.app.inject({ method: 'GET', url })
    expect(answer.statusCode).toBe(404)
    expect(answer.json()).toEqual(errorOf('M_UNRECOGNIZED'))
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
  })

  it('A2 other methods on make_knock and send_knock are 405 M_UNRECOGNIZED', async () => {
    listener = await openListener()
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'PROPFIND'] as const) {
      const answer = await listener.app.inject({ method: method as 'GET', url: MAKE })
      expect([method, answer.statusCode]).toEqual([method, 405])
      if (method !== 'HEAD') expect(answer.json()).toEqual(errorOf('M_UNRECOGNIZED'))
      expect(answer.headers['content-type']).toMatch(/^application\/json/)
    }
    for (const method of ['GET', 'POST', 'HEAD', 'DELETE'] as const) {
      const answer = await listener.app.inject({ method, url: SEND })
      expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'PUT'])
    }
  })

  it('A3 a GET whose body does not come is answered, and its connection closed', async () => {
    listener = await openListener()
    const answer = await exchangeBytes(
      await listener.listen(),
      Buffer.from(`GET ${MAKE} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n`),
    )
    expect(answer).toMatchObject({ status: 401, headers: { connection: 'close' } })
  })

  it.each([
    `${MAKE}/`,
    MAKE.replace('/make', '//make'),
    MAKE.replace('/@', '//@'),
    '/_matrix/federation/v1/make_knock//@k:remote.example',
    '/_matrix/federation/v1/make_knock/!r:resident.example/',
    '/_matrix/federation/v1/make_knock/!r:resident.example',
    '/_matrix/federation/v1/make_knock/!r:resident.example/a/@k:remote.example',
    `/${MAKE}`,
  ])('A7 %s is 404 with a Matrix body', async (url) => {
    listener = await openListener()
    const port = await listener.listen()
    const answer = await exchange(port, { method: 'GET', path: `${url}?ver=10` })
    expect(answer).toMatchObject({ status: 404, body: errorOf('M_UNRECOGNIZED') })
  })

  it('A7 the room is not revealed before authentication, whatever the path', async () => {
    listener = await openListener()
    for (const room of [listener.room.roomId, '!nowhere:resident.example', '%zz', 'nothing']) {
      const answer = await listener.app.inject({ method: 'GET', url: MAKE.replace('!r:resident.example', room) })
      expect([room, answer.statusCode]).toEqual([room, 401])
    }
  })
})

describe('ids in the path', () => {
  it('A5 ids of 255 bytes are accepted', async () => {
    listener = await openListener({ localpart: 'r'.repeat(255 - 2 - 'resident.example'.length) })
    const { remote, resident, room } = listener
    const user = `@${'k'.repeat(255 - 2 - remote.name.length)}:${remote.name}`
    expect([room.roomId.length, user.length]).toEqual([255, 255])
    const port = await listener.listen()
    const path = makeKnockPath(room.roomId, user, '10')
    expect((await signedRequest({ port, identity: resident }, remote, 'GET', path)).status).toBe(200)
  })

  it.each([
    ['a room id of 300 bytes', `!${'r'.repeat(300)}:resident.example`, '@k:remote.example'],
    ['a user id of 300 bytes', '!r:resident.example', `@${'k'.repeat(300)}:remote.example`],
    ['an escape that is none', '%zz', '@k:remote.example'],
    ['bytes that are no UTF-8', '!%ff:resident.example', '@k:remote.example'],
    ['half an escape', '!r:resident.example%2', '@k:remote.example'],
    ['a percent sign escaped twice', '%2521r:resident.example', '@k:remote.example'],
  ])('A5 %s is 400 M_INVALID_PARAM', async (_name, room, user) => {
    listener = await openListener()
    const { resident, remote } = listener
    const port = await listener.listen()
    const path = `/_matrix/federation/v1/make_knock/${room}/${user}?ver=10`
    const answer = await signedRequest({ port, identity: resident }, remote, 'GET', path)
    expect(answer).toMatchObject({ status: 400, body: errorOf('M_INVALID_PARAM') })
  })

  it('A5 an event id of 300 bytes is 400 M_INVALID_PARAM', async () => {
    listener = await openListener()
    const { resident, remote, room } = listener
    const port = await listener.listen()
    const path = sendKnockPath(room.roomId, `$${'A'.repeat(299)}`)
    const answer = await signedRequest({ port, identity: resident }, remote, 'PUT', path, {})
    expect(answer).toMatchObject({ status: 400, body: errorOf('M_INVALID_PARAM') })
  })
})

describe('refusals of the endpoints', () => {
  const [elsewhere, nowhere] = ['@kim:elsewhere.example', '!nowhere:resident.example']
  const event = `$${'A'.repeat(43)}`

  it.each<[number, string, (listener: Listener) => readonly [method: string, path: string, content?: Json]]>([
    [400, 'M_INVALID_PARAM', ({ kim }) => ['GET', makeKnockPath('nothing', kim.id, '10')]],
    [400, 'M_MISSING_PARAM', ({ room, kim }) => ['GET', makeKnockPath(room.roomId, kim.id)]],
    [403, 'M_FORBIDDEN', ({ room }) => ['GET', makeKnockPath(room.roomId, elsewhere, '10')]],
    [404, 'M_NOT_FOUND', ({ kim }) => ['GET', makeKnockPath(nowhere, kim.id, '10')]],
    [400, 'M_BAD_JSON', ({ room }) => ['PUT', sendKnockPath(room.roomId, event), []]],
    [400, 'M_BAD_JSON', ({ room }) => ['PUT', sendKnockPath(room.roomId, event), {}]],
    [400, 'M_INVALID_PARAM', ({ room, kim }) => ['PUT', sendKnockPath(room.roomId, event), knockEvent(room, kim).pdu]],
    [404, 'M_NOT_FOUND', ({ room, kim }) => ['PUT', sendKnockPath(nowhere, event), knockEvent(room, kim).pdu]],
  ])('A3 a %i with %s has errcode, error and the JSON type, and nothing else', async (status, errcode, request) => {
    listener = await openListener()
    const { resident, remote } = listener
    const port = await listener.listen()
    const answer = await signedRequest({ port, identity: resident }, remote, ...request(listener))
    expect({ status: answer.status, body: answer.body }).toEqual({ status, body: errorOf(errcode) })
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
  })

  it('A3 a 401 does too, and a wrong room version names the right one beside it', async () => {
    listener = await openListener()
    const { resident, remote, room, kim } = listener
    const at = { port: await listener.listen(), identity: resident }
    const stranger = createIdentity(remote.name, remote.keyId)
    const unauthorized = await signedRequest(at, stranger, 'GET', makeKnockPath(room.roomId, kim.id, '10'))
    expect([unauthorized.status, unauthorized.body]).toEqual([401, errorOf('M_UNAUTHORIZED')])
    const incompatible = await signedRequest(at, remote, 'GET', makeKnockPath(room.roomId, kim.id, '9'))
    const named = { ...errorOf('M_INCOMPATIBLE_ROOM_VERSION'), room_version: '10' }
    expect([incompatible.status, incompatible.body]).toEqual([400, named])
    for (const { headers } of [unauthorized, incompatible]) {
      expect(headers['content-type']).toMatch(/^application\/json/)
    }
  })
})

describe('answers below the routes', () => {
  it.each<[string, string, number, string]>([
    ['junk for a request line', 'JUNK\r\n\r\n', 400, 'M_UNRECOGNIZED'],
    ['a header of junk', `GET ${MAKE} HTTP/1.1\r\nHost: x\r\nb\u0001d\r\n\r\n`, 400, 'M_UNRECOGNIZED'],
    ['no Host', `GET ${MAKE} HTTP/1.1\r\nConnection: close\r\n\r\n`, 400, 'M_UNRECOGNIZED'],
    ['headers of 100 KB', `GET ${MAKE} HTTP/1.1\r\nHost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`, 431, 'M_TOO_LARGE'],
    ['headers of 4 MB', `GET ${MAKE} HTTP/1.1\r\nHost: x\r\nx: ${'y'.repeat(4_000_000)}\r\n\r\n`, 431, 'M_TOO_LARGE'],
    ['a target of 100 KB', `GET ${MAKE}?${'y'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'M_TOO_LARGE'],
    ['an unknown Expect', `GET ${MAKE} HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n`, 417, 'M_UNRECOGNIZED'],
    ['CONNECT', 'CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n', 405, 'M_UNRECOGNIZED'],
    ['an asterisk', 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 404, 'M_UNRECOGNIZED'],
    ['another site', 'GET http://x/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 404, 'M_UNRECOGNIZED'],
    ['HTTP/1.0 without Host', `GET ${MAKE} HTTP/1.0\r\n\r\n`, 401, 'M_UNAUTHORIZED'],
    [
      'a broken chunk',
      `PUT ${SEND} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
      400,
      'M_UNRECOGNIZED',
    ],
  ])('A3 %s has errcode, error and the JSON type', async (_name, bytes, status, errcode) => {
    listener = await openListener()
    const answer = await exchangeBytes(await listener.listen(), bytes)
    expect(answer).toMatchObject({ status, body: errorOf(errcode) })
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
    await expect.poll(() => listener.answered.map((request) => request.status)).toEqual([status])
  })

  it('A3 a request that does not arrive in time is 408', async () => {
    listener = await openListener({ requestMs: 100 })
    const answer = await exchangeBytes(
      await listener.listen(),
      `PUT ${SEND} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n`,
    )
    expect(answer).toMatchObject({ status: 408, body: errorOf('M_UNRECOGNIZED') })
  })

  it('A3 an exception is 500 M_UNKNOWN and tells nothing', async () => {
    const readRoom = () => Promise.reject(new Error('secret of the store'))
    listener = await openListener({ store: { readRoom } })
    const { resident, remote, room, kim, failures } = listener
    const port = await listener.listen()
    const path = makeKnockPath(room.roomId, kim.id, '10')
    const answer = await signedRequest({ port, identity: resident }, remote, 'GET', path)
    expect(answer).toMatchObject({ status: 500, body: { errcode: 'M_UNKNOWN', error: 'Internal server error' } })
    expect(answer.text).not.toContain('secret')
    expect(String(failures)).toContain('secret of the store')
  })

  it('A3 an answer that takes longer than a request may is 500 M_UNKNOWN', async () => {
    listener = await openListener({ requestMs: 100, store: { readRoom: () => new Promise(() => undefined) } })
    const { resident, remote, room, kim } = listener
    const port = await listener.listen()
    const path = makeKnockPath(room.roomId, kim.id, '10')
    const answer = await signedRequest({ port, identity: resident }, remote, 'GET', path)
    expect(answer).toMatchObject({ status: 500, body: errorOf('M_UNKNOWN') })
  })
})
