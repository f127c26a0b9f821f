import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, exchange, exchangeBytes } from '../support/http-client.ts'
import { knockEvent, makeKnockPath, sendKnock, sendKnockPath, signedRequest } from '../support/remote-knocker.ts'
import { authorization, createIdentity, requestSignature } from '../support/signing.ts'
import { buildRoom, opening, type Person, person, type TestRoom } from '../support/test-room.ts'
import { type Stage, setStage } from './stage.ts'

let stage: Stage
let room: TestRoom
let slashed: TestRoom
let long: TestRoom

beforeAll(async () => {
  stage = await setStage(({ alice }) => {
    room = buildRoom('10', alice, opening(alice, '10'))
    slashed = buildRoom('10', alice, opening(alice, '10'), { localpart: 'a/b+c%2F d#?é' })
    long = buildRoom('10', alice, opening(alice, '10'), { localpart: 'r'.repeat(237) })
    return [room, slashed, long]
  })
})
afterAll(() => stage?.close())

const unauthorized = { status: 401, body: { errcode: 'M_UNAUTHORIZED', error: expect.any(String) } }
const unrecognized = { status: 404, body: { errcode: 'M_UNRECOGNIZED', error: expect.any(String) } }

interface Parts {
  readonly origin: string
  readonly destination: string
  readonly key: string
  readonly sig: string
}

/** A make_knock with headers written by hand from the right parts. */
function withHeaders(write: (parts: Parts) => readonly string[], path?: string): Promise<Answer> {
  const target = path ?? makeKnockPath(room.roomId, stage.knocker('kim').id, '10')
  const { identity } = stage.remote
  const destination = stage.resident.name
  const sig = requestSignature(identity, { method: 'GET', uri: target, destination })
  const values = write({ origin: identity.name, destination, key: identity.keyId, sig })
  const headers = values.flatMap((value) => ['authorization', value])
  return exchange(stage.service.port, { method: 'GET', path: target, headers })
}

describe('the Authorization header', () => {
  it.each<[string, (parts: Parts) => string]>([
    ['no quote at all', (p) => `X-Matrix origin=${p.origin},destination=${p.destination},key=${p.key},sig=${p.sig}`],
    [
      'escapes',
      (p) => `X-Matrix origin="${p.origin.replace('.', '\\.')}",key="${p.key}",sig="${p.sig.replace(/(.)/, '\\$1')}"`,
    ],
    ['a lower-case scheme', (p) => `x-matrix origin="${p.origin}",key="${p.key}",sig="${p.sig}"`],
    ['capital names', (p) => `X-Matrix ORIGIN="${p.origin}",Key="${p.key}",SIG="${p.sig}"`],
    ['another order and white space', (p) => `X-Matrix  sig="${p.sig}" ,\tkey="${p.key}" , origin="${p.origin}"`],
    ['an unknown parameter', (p) => `X-Matrix foo="a,b=\\"c",origin="${p.origin}",key="${p.key}",sig="${p.sig}"`],
    ['an empty element', (p) => `X-Matrix origin="${p.origin}",,key="${p.key}",sig="${p.sig}"`],
    ['a padded signature', (p) => `X-Matrix origin="${p.origin}",key="${p.key}",sig="${p.sig}=="`],
    ['no destination', (p) => `X-Matrix origin="${p.origin}",key="${p.key}",sig="${p.sig}"`],
  ])('B3 B4 is taken with %s', async (_name, write) => {
    expect((await withHeaders((parts) => [write(parts)])).status).toBe(200)
  })

  it.each<[string, (parts: Parts) => readonly string[]]>([
    ['missing', () => []],
    ['of another scheme', () => ['Bearer token']],
    ['empty', () => ['']],
    ['without parameters', () => ['X-Matrix']],
    ['one word', () => ['X-Matrix origin']],
    ['an open quote', (p) => [`X-Matrix origin="${p.origin},key="${p.key}",sig="${p.sig}`]],
    ['a parameter twice', (p) => [`X-Matrix origin="${p.origin}",origin="x",key="${p.key}",sig="${p.sig}"`]],
    ['no signature', (p) => [`X-Matrix origin="${p.origin}",key="${p.key}"`]],
    ['a short signature', (p) => [`X-Matrix origin="${p.origin}",key="${p.key}",sig="${p.sig.slice(0, 80)}"`]],
    ['another signature', (p) => [`X-Matrix origin="${p.origin}",key="${p.key}",sig="${'A'.repeat(86)}"`]],
    ['no base64', (p) => [`X-Matrix origin="${p.origin}",key="${p.key}",sig="***"`]],
    ['an unknown key', (p) => [`X-Matrix origin="${p.origin}",key="ed25519:other",sig="${p.sig}"`]],
    ['a key of another algorithm', (p) => [`X-Matrix origin="${p.origin}",key="rsa:1",sig="${p.sig}"`]],
    ['no server name', (p) => [`X-Matrix origin="a b/../c",key="${p.key}",sig="${p.sig}"`]],
    ['a hundred commas', (p) => [`X-Matrix ${','.repeat(100)}origin="${p.origin}"`]],
  ])('B6 is 401 when it is %s', async (_name, write) => {
    expect(await withHeaders(write)).toMatchObject(unauthorized)
  })

  it('B5 another destination is 401, also in another case', async () => {
    for (const destination of ['elsewhere.example', 'RESIDENT.example', '']) {
      const uri = makeKnockPath(room.roomId, stage.knocker('kim').id, '10')
      const header = authorization(stage.remote.identity, { method: 'GET', uri, destination })
      const answer = await exchange(stage.service.port, {
        method: 'GET',
        path: uri,
        headers: ['authorization', header],
      })
      expect(answer).toMatchObject(unauthorized)
    }
  })

  it('B9 of several headers each known key must be right, and one at least', async () => {
    const good = (p: Parts): string => `X-Matrix origin="${p.origin}",key="${p.key}",sig="${p.sig}"`
    const unknown = (p: Parts): string => `X-Matrix origin="${p.origin}",key="ed25519:zz",sig="${p.sig}"`
    const wrong = (p: Parts): string => `X-Matrix origin="${p.origin}",key="${p.key}",sig="${'A'.repeat(86)}"`
    const foreign = (p: Parts): string => `X-Matrix origin="${stage.neighbour.name}",key="${p.key}",sig="${p.sig}"`
    expect((await withHeaders((p) => [good(p), unknown(p)])).status).toBe(200)
    expect((await withHeaders((p) => ['Bearer x', good(p)])).status).toBe(200)
    expect(await withHeaders((p) => [good(p), wrong(p)])).toMatchObject(unauthorized)
    expect(await withHeaders((p) => [wrong(p), good(p)])).toMatchObject(unauthorized)
    expect(await withHeaders((p) => [good(p), foreign(p)])).toMatchObject(unauthorized)
  })

  it('B6 a signature for another method, target, query order or body is 401', async () => {
    const kim = stage.knocker('kim')
    const path = makeKnockPath(room.roomId, kim.id, '10', '11')
    const signedFor = (uri: string, method = 'GET'): Promise<Answer> => {
      const header = authorization(stage.remote.identity, { method, uri, destination: stage.resident.name })
      return exchange(stage.service.port, { method: 'GET', path, headers: ['authorization', header] })
    }
    expect((await signedFor(path)).status).toBe(200)
    expect(await signedFor(path, 'PUT')).toMatchObject(unauthorized)
    expect(await signedFor(makeKnockPath(room.roomId, kim.id, '11', '10'))).toMatchObject(unauthorized)
    const { eventId, pdu } = knockEvent(room, kim)
    const target = sendKnockPath(room.roomId, eventId)
    const toSign = { method: 'PUT', uri: target, destination: stage.resident.name, content: { ...pdu, depth: 1 } }
    const headers = ['authorization', authorization(stage.remote.identity, toSign)]
    const put = { method: 'PUT', path: target, headers, body: JSON.stringify(pdu) }
    expect(await exchange(stage.service.port, put)).toMatchObject(unauthorized)
  })
})

describe('the request target', () => {
  it('B2 a target verifies against its own signature alone, with %21 or with !', async () => {
    const escaped = makeKnockPath(room.roomId, stage.knocker('kim').id, '10').replace('!', '%21')
    const literal = escaped.replace('%21', '!').replaceAll('%3A', ':').replace('%40', '@')
    for (const [sent, signed, status] of [
      [escaped, escaped, 200],
      [literal, literal, 200],
      [escaped, literal, 401],
      [literal, escaped, 401],
    ] as const) {
      const header = authorization(stage.remote.identity, {
        method: 'GET',
        uri: signed,
        destination: 'resident.example',
      })
      const request = { method: 'GET', path: sent, headers: ['authorization', header] }
      expect((await exchange(stage.service.port, request)).status).toBe(status)
    }
  })

  it('B2 an absolute target is signed for without its scheme and host', async () => {
    const uri = makeKnockPath(room.roomId, stage.knocker('kim').id, '10')
    const header = authorization(stage.remote.identity, { method: 'GET', uri, destination: 'resident.example' })
    const request = { method: 'GET', path: `http://resident.example${uri}`, headers: ['authorization', header] }
    expect((await exchange(stage.service.port, request)).status).toBe(200)
  })

  it.each([
    '/_matrix/federation/v1//make_knock/!r:resident.example/@k:x?ver=10',
    '//_matrix/federation/v1/make_knock/!r:resident.example/@k:x?ver=10',
    '/_matrix/federation/v1/make_knock/!r:resident.example/@k:x/?ver=10',
    '/_matrix/federation/v1/make_knock/!r:resident.example//@k:x?ver=10',
    '/_matrix/federation/v1/make_knock//@k:x?ver=10',
    '/_matrix/federation/v1/make_knock/!r:resident.example/?ver=10',
    '/_matrix/federation/v1/make_knock/!r:resident.example?ver=10',
    '/_matrix/federation/v1/make_knock/!a/b:resident.example/@k:x?ver=10',
    '/_matrix/federation/v1/./make_knock/!r:resident.example/@k:x?ver=10',
    '/_matrix/federation/v2/make_knock/!r:resident.example/@k:x?ver=10',
    '/_matrix/federation/v1/make_join/!r:resident.example/@k:x?ver=10',
    '/',
  ])('A7 %s is 404 or 400', async (path) => {
    const answer = await signedRequest(stage.service, stage.remote.identity, 'GET', path)
    expect([400, 404]).toContain(answer.status)
    expect(answer.body).toMatchObject({ errcode: expect.stringMatching(/^M_/), error: expect.any(String) })
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
  })

  it('A1 an unknown path is 404 M_UNRECOGNIZED', async () => {
    const path = '/_matrix/federation/v1/version'
    expect(await exchange(stage.service.port, { method: 'GET', path })).toMatchObject(unrecognized)
  })

  it('A5 %2F and other escapes stand for one id, decoded once', async () => {
    const kim = person('k/i+m', stage.remote.identity)
    await expectBothToWork(slashed, kim)
  })

  it('A5 ids of 255 bytes are taken', async () => {
    const localpart = 'k'.repeat(254 - 1 - stage.remote.name.length)
    const kim = person(localpart, stage.remote.identity)
    expect([long.roomId.length, kim.id.length]).toEqual([255, 255])
    await expectBothToWork(long, kim)
  })

  it.each([256, 300, 5000])('A5 ids of %i bytes are 400 M_INVALID_PARAM', async (bytes) => {
    const kim = person('k'.repeat(bytes - 2 - stage.remote.name.length), stage.remote.identity)
    expect(kim.id).toHaveLength(bytes)
    const path = makeKnockPath(room.roomId, kim.id, '10')
    const answer = await signedRequest(stage.service, stage.remote.identity, 'GET', path)
    expect(answer).toMatchObject({ status: 400, body: { errcode: 'M_INVALID_PARAM' } })
    const event = { eventId: `$${'A'.repeat(bytes - 1)}`, pdu: {} }
    const sent = await sendKnock(stage.service, stage.remote.identity, room, event)
    expect(sent).toMatchObject({ status: 400, body: { errcode: 'M_INVALID_PARAM' } })
  })

  async function expectBothToWork(where: TestRoom, who: Person): Promise<void> {
    const path = makeKnockPath(where.roomId, who.id, '10')
    expect((await signedRequest(stage.service, stage.remote.identity, 'GET', path)).status).toBe(200)
    expect((await sendKnock(stage.service, stage.remote.identity, where, knockEvent(where, who))).status).toBe(200)
  }
})

describe('HTTP by hand', () => {
  const target = '/_matrix/federation/v1/make_knock/!r:resident.example/@k:x?ver=10'

  it.each<[string, string, number]>([
    ['no Host header', `GET ${target} HTTP/1.1\r\nConnection: close\r\n\r\n`, 400],
    ['an unknown Expect', `GET ${target} HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nConnection: close\r\n\r\n`, 417],
    ['a request line of junk', 'JUNK\r\n\r\n', 400],
    ['a header of junk', `GET ${target} HTTP/1.1\r\nHost: x\r\nb\u0001d\r\n\r\n`, 400],
    ['headers of 100 KB', `GET ${target} HTTP/1.1\r\nHost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`, 431],
  ])('A3 %s gets a Matrix error', async (_name, bytes, status) => {
    const answer = await exchangeBytes(stage.service.port, bytes)
    expect(answer).toMatchObject({ status, body: { errcode: expect.stringMatching(/^M_/), error: expect.any(String) } })
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
  })

  it('A2 other methods are 405 M_UNRECOGNIZED, HEAD among them', async () => {
    const knock = sendKnockPath(room.roomId, `$${'A'.repeat(43)}`)
    for (const [method, path] of [
      ['POST', target],
      ['PUT', target],
      ['DELETE', target],
      ['HEAD', target],
      ['OPTIONS', target],
      ['GET', knock],
      ['POST', knock],
    ] as const) {
      const answer = await exchange(stage.service.port, { method, path })
      expect(answer.status).toBe(405)
      if (method !== 'HEAD') expect(answer.body).toMatchObject({ errcode: 'M_UNRECOGNIZED' })
    }
  })

  it.each([undefined, '', 'foo', 'a/b/c', 'text/plain', 'application/json; charset=utf-8', 'multipart/form-data'])(
    'A4 send_knock works with the content type %s',
    async (type) => {
      const kim = stage.knocker(`type-${String(type).replaceAll(/\W/g, '')}`)
      const { eventId, pdu } = knockEvent(room, kim)
      const path = sendKnockPath(room.roomId, eventId)
      const toSign = { method: 'PUT', uri: path, destination: stage.resident.name, content: pdu }
      const typed = type === undefined ? [] : ['content-type', type]
      const headers = ['authorization', authorization(stage.remote.identity, toSign), ...typed]
      const answer = await exchange(stage.service.port, { method: 'PUT', path, headers, body: JSON.stringify(pdu) })
      expect(answer.status).toBe(200)
    },
  )

  it('B6 our own name as origin is checked with our own key, and is 403', async () => {
    const path = makeKnockPath(room.roomId, '@zoe:resident.example', '10')
    const ours = await signedRequest(stage.service, stage.resident, 'GET', path)
    expect(ours).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    const pretender = createIdentity(stage.resident.name, stage.resident.keyId)
    expect(await signedRequest(stage.service, pretender, 'GET', path)).toMatchObject(unauthorized)
  })
})
