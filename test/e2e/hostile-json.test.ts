import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, exchange, exchangeBytes } from '../support/http-client.ts'
import { knockEvent, sendKnockPath } from '../support/remote-knocker.ts'
import { authorization, type JsonRecord } from '../support/signing.ts'
import { buildRoom, opening, type TestRoom } from '../support/test-room.ts'
import { type Stage, setStage } from './stage.ts'

let stage: Stage
let room: TestRoom

beforeAll(async () => {
  stage = await setStage(({ alice }) => {
    room = buildRoom('10', alice, opening(alice, '10'))
    return [room]
  })
})
afterAll(() => stage?.close())

/** Sends a body as it is, with a signature for what it was made from. */
function sendBody(body: string | Uint8Array, content: JsonRecord, eventId: string): Promise<Answer> {
  const path = sendKnockPath(room.roomId, eventId)
  const toSign = { method: 'PUT', uri: path, destination: stage.resident.name, content }
  const headers = ['authorization', authorization(stage.remote.identity, toSign)]
  return exchange(stage.service.port, { method: 'PUT', path, headers, body })
}

/** A good knock, with its text changed after it was signed for. */
function sendChanged(change: (text: string) => string | Uint8Array): Promise<Answer> {
  const { eventId, pdu } = knockEvent(room, stage.knocker('kim'))
  return sendBody(change(JSON.stringify(pdu)), pdu, eventId)
}

const badJson = { status: 400, body: { errcode: 'M_BAD_JSON', error: expect.any(String) } }
const notJson = { status: 400, body: { errcode: 'M_NOT_JSON', error: expect.any(String) } }
/** Puts a value for a further key into the content. */
const inContent =
  (member: string) =>
  (text: string): string =>
    text.replace('"content":{', `"content":{${member},`)

describe('D3 JSON that has no canonical form', () => {
  it('D3 the knock that these tests change is accepted', async () => {
    const { eventId, pdu } = knockEvent(room, stage.knocker('fine'))
    expect((await sendBody(JSON.stringify(pdu), pdu, eventId)).status).toBe(200)
  })

  it.each([
    ['a fraction', '"n":1.0'],
    ['an exponent', '"n":1e3'],
    ['a capital exponent', '"n":1E3'],
    ['2^53', '"n":9007199254740992'],
    ['-2^53', '"n":-9007199254740992'],
    ['a number beyond all numbers', '"n":1e400'],
    ['a key twice', '"n":1,"n":1'],
    ['a key twice, once escaped', '"a":1,"\\u0061":2'],
    ['membership twice', '"membership":"knock"'],
    ['a lone high surrogate', '"n":"\\ud800"'],
    ['a lone low surrogate', '"n":"\\udc00x"'],
    ['swapped surrogates', '"n":"\\udc00\\ud800"'],
    ['a lone surrogate in a key', '"\\ud800":1'],
  ])('D3 %s is 400 M_BAD_JSON', async (_name, member) => {
    expect(await sendChanged(inContent(member))).toMatchObject(badJson)
  })

  it('D3 __proto__ twice is 400 M_BAD_JSON', async () => {
    expect(await sendChanged(inContent('"__proto__":{},"__proto__":{}'))).toMatchObject(badJson)
  })

  it('D3 100,000 nested arrays are 400 M_BAD_JSON', async () => {
    const deep = `"n":${'['.repeat(100_000)}${']'.repeat(100_000)}`
    expect(await sendChanged(inContent(deep))).toMatchObject(badJson)
    expect(await sendChanged(() => '['.repeat(100_000))).toMatchObject({ status: 400 })
  })

  it.each<[string, (text: string) => string | Uint8Array]>([
    ['a byte order mark', (text) => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(text)])],
    ['an over-long encoding', (text) => replaceBytes(text, [0xc0, 0x80])],
    ['an encoded surrogate', (text) => replaceBytes(text, [0xed, 0xa0, 0x80])],
    ['a stray continuation byte', (text) => replaceBytes(text, [0x80])],
    ['Latin-1', (text) => replaceBytes(text, [0xe9])],
    ['UTF-16', (text) => Buffer.from(text, 'utf16le')],
    ['an end too early', (text) => text.slice(0, -1)],
    ['text after the end', (text) => `${text}{}`],
    ['a comma too many', (text) => text.replace('"content":{', '"content":{,')],
    ['single quotes', (text) => text.replaceAll('"', "'")],
    ['a raw control character', (text) => text.replace('may I', 'may\u0001I')],
    ['a comment', (text) => `/* hi */${text}`],
    ['NaN', inContent('"n":NaN')],
    ['a leading zero', inContent('"n":01')],
    ['a leading plus', inContent('"n":+1')],
    ['nothing', () => ''],
    ['spaces', () => '   '],
  ])('D3 %s is 400 M_NOT_JSON', async (_name, change) => {
    expect(await sendChanged(change)).toMatchObject(notJson)
  })

  it.each(['[]', '"text"', 'null', '1', 'true'])('D3 the body %s is 400 M_BAD_JSON', async (body) => {
    expect(await sendChanged(() => body)).toMatchObject(badJson)
  })

  it('D3 the literal -0 is the integer 0', async () => {
    const kim = stage.knocker('zero')
    const { eventId, pdu } = knockEvent(room, kim, { content: { membership: 'knock', n: 0 } })
    const body = JSON.stringify(pdu).replace('"n":0', '"n":-0')
    expect(body).toContain('-0')
    expect((await sendBody(body, pdu, eventId)).status).toBe(200)
  })
})

describe('bodies that are too large', () => {
  it('A3 10 MB are 413 M_TOO_LARGE, announced or not', async () => {
    const body = `{"n":"${'x'.repeat(10 * 1024 * 1024)}"}`
    const path = sendKnockPath(room.roomId, `$${'A'.repeat(43)}`)
    const head = `PUT ${path} HTTP/1.1\r\nHost: resident.example\r\nConnection: close\r\n`
    const tooLarge = { status: 413, body: { errcode: 'M_TOO_LARGE', error: expect.any(String) } }
    const announced = `${head}Content-Length: ${body.length}\r\n\r\n${body}`
    expect(await exchangeBytes(stage.service.port, announced)).toMatchObject(tooLarge)
    const size = body.length.toString(16)
    const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n${size}\r\n${body}\r\n0\r\n\r\n`
    expect(await exchangeBytes(stage.service.port, chunked)).toMatchObject(tooLarge)
  })
})

describe.each<[string, JsonRecord]>([
  ['depth is text', { depth: '5' }],
  ['depth is negative', { depth: -1 }],
  ['origin_server_ts is missing', { origin_server_ts: null }],
  ['prev_events is an object', { prev_events: {} }],
  ['prev_events holds a number', { prev_events: [1] }],
  ['auth_events is text', { auth_events: '$a' }],
  ['content is a list', { content: [] }],
  ['content is null', { content: null }],
  ['sender is a number', { sender: 1 }],
  ['type is an object', { type: {} }],
  ['state_key is a number', { state_key: 1 }],
  ['room_id is a list', { room_id: [] }],
  ['unsigned is a list', { unsigned: [] }],
  ['event_id is there', { event_id: '$x' }],
  ['the sender is longer than 255 bytes', { sender: `@${'k'.repeat(255)}:x` }],
])('an event in which %s', (_name, changes) => {
  it('D3 is 400', async () => {
    const { eventId, pdu } = knockEvent(room, stage.knocker('shape'), changes)
    const answer = await sendBody(JSON.stringify(pdu), pdu, eventId)
    expect(answer).toMatchObject({
      status: 400,
      body: { errcode: expect.stringMatching(/^M_(BAD_JSON|INVALID_PARAM)$/) },
    })
  })
})

describe.each<[string, JsonRecord]>([
  ['hashes is missing', { hashes: null }],
  ['hashes.sha256 is a number', { hashes: { sha256: 1 } }],
  ['signatures is a list', { signatures: [] }],
  ['a server has a list of signatures', { signatures: { 'resident.example': [] } }],
  ['a signature is a number', { signatures: { 'resident.example': { 'ed25519:1': 1 } } }],
])('an event in which %s', (_name, changes) => {
  it('D3 is 400 M_BAD_JSON', async () => {
    const { eventId, pdu } = knockEvent(room, stage.knocker('shape'))
    const changed = { ...pdu, ...changes }
    expect(await sendBody(JSON.stringify(changed), changed, eventId)).toMatchObject(badJson)
  })
})

/** The text with its question mark replaced by bytes. */
function replaceBytes(text: string, bytes: readonly number[]): Buffer {
  const at = text.indexOf('?')
  return Buffer.concat([Buffer.from(text.slice(0, at)), Buffer.from(bytes), Buffer.from(text.slice(at + 1))])
}
